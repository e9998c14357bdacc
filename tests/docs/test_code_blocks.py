"""What the pages show is what happens."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, make_clip
from nexus_actors import CoreSettings, RedisBroker, jobs
from pages import DIRECTIVES, Block, Reader, blocks_of, check


README = ROOT / "README.md"
#: Read by somebody who has nothing but that page: `acceptance/test_newcomer.py`.
ALONE = ROOT / "docs" / "tutorial" / "upload-platform.md"
PAGES = [
    *(
        ROOT / name
        for name in ("CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.fixture(scope="session")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(
        tmp_path_factory.mktemp("upload") / "video.mp4", size="320x180", seconds=2
    )


@pytest.fixture
def reader(redis_url: str, tmp_path: Path, upload: Path) -> Iterator[Reader]:
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": redis_url,
        "TEMP_DIR": str(tmp_path / "tmp"),
        "FFMPEG_PRESET": "ultrafast",
        "HEALTH_CHECK_PORT": "0",  # pages are read at the same time
    }
    folder = tmp_path / "page"
    folder.mkdir()
    reader = Reader(folder, environ, upload)
    yield reader
    reader.close()


def is_run(page: Path) -> bool:
    return any(block.kind in {"console", "python"} for block in blocks_of(page))


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != ALONE and is_run(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_block_of_a_page_does_what_the_page_says(
    page: Path, reader: Reader
) -> None:
    for block in blocks_of(page):
        reader.do(block)


def test_every_block_that_is_not_run_is_output_or_says_what_there_is() -> None:
    wrong = []
    for page in (README, *PAGES):
        for block in blocks_of(page):
            if block.kind not in {"console", "python"}:
                try:
                    check(block)
                except (AssertionError, ValueError) as error:
                    wrong.append(f"{page.relative_to(ROOT)}, {error}")

    assert not wrong, "\n".join(wrong)


def is_used(block: Block, later: list[Block]) -> bool:
    """Tell whether a file that the reader writes is run, imported or collected."""
    path = Path(block.caption)
    names = [path.stem]
    if path.name == "conftest.py" or path.name.startswith("test_"):
        names.append("pytest")
    return any(name in other.text for other in later for name in names)


def test_every_file_that_a_page_has_its_reader_write_is_used_on_the_page() -> None:
    unused = []
    for page in PAGES:
        blocks = [block for block in blocks_of(page) if block.kind not in DIRECTIVES]
        unused += [
            f"{page.relative_to(ROOT)}: {block.caption}"
            for number, block in enumerate(blocks)
            if block.caption and not is_used(block, blocks[number + 1 :])
        ]

    assert not unused, "\n".join(unused)


def test_a_block_of_a_kind_that_nobody_knows_fails() -> None:
    with pytest.raises(AssertionError, match="line 3: nobody runs 'rust'"):
        check(Block(kind="rust", caption="", text="a: b\n", line=3))


@pytest.mark.parametrize(
    "text",
    [
        "nexus-actors job --wiat 1",
        "nexus-actors oath login youtube",
        "export NEXUS_NO_SUCH_SETTING=1",
        "make dmeo",
        "rm -rf /",
    ],
)
def test_a_command_that_is_not_there_fails(text: str) -> None:
    with pytest.raises(AssertionError, match="line 3: "):
        check(Block(kind="sh", caption="", text=f"{text}\n", line=3))


def test_a_command_that_is_marked_as_output_fails() -> None:
    with pytest.raises(AssertionError, match="neither output nor drawing"):
        check(Block(kind="text", caption="", text="$ nexus-actors doctor\n", line=3))


def test_the_example_of_the_readme_runs_and_brings_back_what_it_says(
    reader: Reader, redis_url: str
) -> None:
    blocks = blocks_of(README)

    for block in blocks:
        reader.do(block)
    [sent] = reader.printed
    followed = reader.run(f"python {ROOT}/examples/follow_progress.py {sent}")

    broker = RedisBroker(CoreSettings.load({"redis_url": redis_url}))
    record = jobs.wait(sent.strip(), broker=broker, timeout_s=30)
    broker.close()
    [shown] = [json.loads(block.text) for block in blocks if block.kind == "json"]
    assert abridges(shown, record.result)
    lines = followed.splitlines()
    assert lines[0] == "job.enqueued"
    assert any(line.endswith("%  encode") for line in lines)
    assert lines[-1] == record.result["outputs"]["hls"]["master"]["url"]


def test_the_example_script_sends_what_the_readme_shows(reader: Reader) -> None:
    example = (ROOT / "examples" / "send_video.py").read_text(encoding="utf-8")
    [shown] = [block.text for block in blocks_of(README) if block.kind == "python"]

    sent = reader.run(f"python {ROOT}/examples/send_video.py {reader.video}")

    assert re.fullmatch(r"[0-9a-f-]{36}\n", sent)
    call = shown[shown.index("process_video.send") : shown.index("print")]
    in_script = call.replace('"/path/to/video.mp4"', "path").split()
    assert " ".join(in_script) in " ".join(example.split())


def abridges(short: Any, whole: Any) -> bool:
    """Tell whether *short* is *whole* with names and items left out."""
    if isinstance(short, dict):
        return all(
            name in whole and abridges(value, whole[name])
            for name, value in short.items()
        )
    if isinstance(short, list):
        return len(short) <= len(whole) and all(map(abridges, short, whole))
    if isinstance(short, str):
        return bool(short == whole) or "…" in short
    return type(short) is type(whole)  # figures differ from film to film


def test_every_extra_that_the_pages_name_is_one_that_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(project["project"]["optional-dependencies"])

    named = {
        extra
        for page in (README, *PAGES)
        for listed in re.findall(r"nexus-actors\[([\w,]+)\]", page.read_text("utf-8"))
        for extra in listed.split(",")
    }

    assert named
    assert named <= extras
