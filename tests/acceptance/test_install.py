"""The wheel as users have it: in an environment of its own, outside of the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import ROOT, make_clip
from public import PUBLIC
from releases import install


#: Imports modules with all their names, and tells what does not work.
IMPORTS = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    try:
        module = import_module(name)
        for public in getattr(module, "__all__", ()):
            getattr(module, public)
    except ImportError as error:
        print(f"{name}: {error}")
"""

VIDEO = {"video_id": "v", "input_path": "video.mp4"}
POST = {
    "platform": "tiktok",
    "credentials": {"access_token": "x"},
    "content": {"video_path": "video.mp4", "title": "A film"},
}
MAIL = {"type": "email", "template": "email-welcome", "email": {"to": "a@example.com"}}
FIGURES = {"platform": "tiktok", "access_token": "x", "post_id": "1"}

#: Commands that need an extra, and which.
NEEDY = {
    "analytics report week --account tiktok/shop": "analytics",
    "dashboard": "dashboard",
    "db upgrade": "database",
    "oauth list": "database",
    "publications list": "database",
    "sandbox": "web",
    "templates list": "notifications",
    f"send process_video --inline --json '{json.dumps(VIDEO)}'": "video",
    f"send publish_post --inline --json '{json.dumps(POST)}'": "database",
    f"send send_notification --inline --json '{json.dumps(MAIL)}'": "notifications",
    f"send collect_metrics --inline --json '{json.dumps(FIGURES)}'": "analytics",
}


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with the package and no extra."""
    return install(tmp_path_factory.mktemp("bare") / "venv", str(wheel))


@pytest.fixture(scope="module")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with every extra."""
    return install(tmp_path_factory.mktemp("whole") / "venv", f"{wheel}[all]")


def environ(programs: Path, home: Path, **more: str) -> dict[str, str]:
    """Return what a user's shell has, and nothing of the tests'."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), **more}


def test_without_extras_all_is_imported_or_names_the_extra_that_it_needs(
    bare: Path, tmp_path: Path
) -> None:
    said = subprocess.run(
        [bare / "python", "-c", IMPORTS, *PUBLIC, "nexus_actors.worker"],
        env=environ(bare, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    needs = 'nexus_actors.{0} needs: pip install "nexus-actors[{1}]"'
    assert said.stdout.splitlines() == [
        f"nexus_actors.dashboard: {needs.format('dashboard', 'dashboard')}",
        f"nexus_actors.sandbox: {needs.format('sandbox', 'web')}",
        "nexus_actors.testing.contracts: No module named 'pytest'",
    ]


def test_without_extras_each_command_says_in_one_line_what_it_needs(
    bare: Path, tmp_path: Path
) -> None:
    running = {
        command: subprocess.Popen(
            f"nexus-actors {command}",
            shell=True,
            env=environ(bare, tmp_path),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in NEEDY
    }
    said = {command: (*p.communicate(), p.returncode) for command, p in running.items()}

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for command, (_, errors, code) in said.items():
        extra = NEEDY[command]
        assert code in {1, 2}, command
        assert extra in extras["project"]["optional-dependencies"]
        assert re.fullmatch(
            rf'error: [\w ]+ needs: pip install "nexus-actors\[{extra}\]"',
            errors.splitlines()[-1],
        ), f"{command}: {errors}"
        assert "Traceback" not in errors


def test_a_worker_without_the_extra_gives_up_the_job_and_says_why(
    bare: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            "nexus-actors",
            "demo",
            make_clip(tmp_path / "clip.mp4", size="64x36", seconds=1),
        ],
        env=environ(bare, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["error"]["code"] == "missing_extra"
    assert 'pip install "nexus-actors[video]"' in done.stderr.splitlines()[-1]


def test_with_all_extras_the_wheel_does_its_work_outside_of_the_checkout(
    whole: Path, tmp_path: Path, redis_url: str
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size="320x180", seconds=1)
    more = {"REDIS_URL": redis_url, "DATABASE_URL": f"sqlite:///{tmp_path}/nexus.db"}

    def run(*arguments: str | Path) -> str:
        return subprocess.run(
            arguments,
            env=environ(whole, tmp_path, FFMPEG_PRESET="ultrafast", **more),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        ).stdout

    where = run(
        whole / "python", "-c", "import nexus_actors; print(nexus_actors.__file__)"
    )
    version = run(whole / "nexus-actors", "--version")
    run(whole / "nexus-actors", "db", "upgrade")  # migrations
    templates = run(whole / "nexus-actors", "templates", "list")  # texts
    run(whole / "nexus-actors", "queues", "pause", "video-processing")  # Lua
    body = json.dumps({"video_id": "v", "input_path": str(clip)})
    made = run(
        *(whole / "nexus-actors", "send", "process_video", "--inline", "--json", body)
    )

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert Path(where.strip()).is_relative_to(whole.parent)
    assert version == f"nexus-actors, version {project['project']['version']}\n"
    assert "email-welcome" in templates
    assert json.loads(made)["outputs"]["hls"]["master"]["uri"].endswith("master.m3u8")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_hosts_type_checker_takes_what_is_right_and_refuses_what_is_wrong(
    checker: str, whole: Path, tmp_path: Path
) -> None:
    host = tmp_path / "host.py"
    host.write_text((ROOT / "tests" / "typing" / "api.py").read_text("utf-8"), "utf-8")
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "include": [host.name],
                "reportUnnecessaryTypeIgnoreComment": "error",
                "typeCheckingMode": "strict",
                "venv": whole.parent.name,
                "venvPath": str(whole.parent.parent),
            }
        )
    )
    options = {
        "mypy": "--strict --config-file= --cache-dir=/dev/null "
        f"--python-executable {whole}/python {host}",
        "pyright": f"--project {tmp_path}",
    }

    done = subprocess.run(
        [sys.executable, "-m", checker, *options[checker].split()],
        env={**os.environ, "PYTHONPATH": "", "MYPYPATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
