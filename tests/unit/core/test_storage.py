"""The store: a folder or a bucket, addressed by keys."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nexus_actors.core.errors import (
    ConfigurationError,
    ForbiddenUrlError,
    NexusError,
    RejectedError,
    ResourceError,
    TransientError,
)
from nexus_actors.core.places import output_url
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from objectstores import Place
from scale import scaled


def connect(url: Path | str, public_url: str | None = None) -> Storage:
    values = {"storage_url": str(url), "storage_public_url": public_url}
    return Storage.connect(CoreSettings.load(values))


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk with the options given."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, check=False).returncode:
            pytest.skip("a small disk can be mounted by root only")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def refusal(url: Path | str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        connect(url)
    assert len(caught.value.message.splitlines()) == 1
    return caught.value


def bytes_of(megabytes: int) -> bytes:
    """What is long enough to be sent in parts, and has no two parts alike."""
    return random.Random(megabytes).randbytes(megabytes << 20)


def test_what_is_stored_can_be_found_under_its_key(
    storage: Storage, place: Place, upload: Path
) -> None:
    storage.put_file("film/v1/a.mp4", upload)

    assert storage.keys("") == ["film/v1/a.mp4"]
    assert place.read("film/v1/a.mp4") == b"content"


@pytest.mark.parametrize("key", ["a b#?%20+&=.mp4", "é/漢字.jpg", "~", "a%2fb", "a:b"])
def test_a_key_may_hold_what_urls_quote(
    key: str, storage: Storage, place: Place, upload: Path, tmp_path: Path
) -> None:
    storage.put_file(key, upload)

    assert storage.keys() == [key]
    assert place.everything() == [key]
    assert storage.key(storage.uri(key)) == key
    storage.get_file(key, tmp_path / "back", max_bytes=100)
    assert (tmp_path / "back").read_bytes() == b"content"


def test_a_prefix_is_a_whole_part_of_a_key(storage: Storage, upload: Path) -> None:
    for key in ("film/1", "film/2", "film-2/1", "filmed/1"):
        storage.put_file(key, upload)

    assert storage.keys("film") == ["film/1", "film/2"]
    assert storage.keys("none") == []


def test_storing_again_replaces_the_whole(
    storage: Storage, place: Place, upload: Path
) -> None:
    storage.put_file("a", upload)
    upload.write_bytes(b"x")

    storage.put_file("a", upload)

    assert place.read("a") == b"x"


@pytest.mark.parametrize("content", [b"", b"x", bytes_of(11)], ids=["0", "1", "11 M"])
def test_a_file_of_any_size_comes_back_as_it_was(
    content: bytes, storage: Storage, upload: Path, tmp_path: Path
) -> None:
    upload.write_bytes(content)
    storage.put_file("a/b", upload)
    told: list[tuple[int, int]] = []

    storage.get_file(
        "a/b",
        tmp_path / "back",
        max_bytes=len(content),
        on_progress=lambda *heard: told.append(heard),
    )

    assert told == sorted(told)
    assert [told[0], told[-1]] == [(0, len(content)), (len(content), len(content))]
    assert (tmp_path / "back").read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} <= {"back", "storage", "upload"}


def test_what_is_deleted_is_gone_and_what_is_not_there_is_no_error(
    storage: Storage, place: Place, upload: Path
) -> None:
    for key in ("film/v1/a", "film/v2/a"):
        storage.put_file(key, upload)

    storage.delete(["film/v1/a", "film/v1/never-there"])
    storage.delete([])

    assert place.everything() == ["film/v2/a"]


def test_a_deleted_key_leaves_no_empty_folder(tmp_path: Path, upload: Path) -> None:
    storage = connect(tmp_path / "storage")
    storage.put_file("film/v1/a", upload)

    storage.delete(["film/v1/a"])

    assert not (tmp_path / "storage" / "film" / "v1").exists()


def test_more_is_listed_and_deleted_than_one_answer_holds(
    storage: Storage, place: Place
) -> None:
    keys = sorted(f"v/{n}.m4s" for n in range(1_005))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: place.write(key, b""), keys))

    assert storage.keys("v") == keys
    storage.delete(keys)
    assert place.everything() == []


def test_a_file_that_is_not_there_cannot_be_stored(
    storage: Storage, place: Place, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        storage.put_file("a", tmp_path / "gone")

    assert place.everything() == []


class StopError(Exception):
    """The caller must not go on."""


def test_a_caller_that_must_stop_leaves_no_part_of_a_file(
    storage: Storage, place: Place, upload: Path
) -> None:
    upload.write_bytes(bytes_of(40))
    looks = iter([True])

    def check() -> None:
        if not next(looks, False):
            raise StopError

    with pytest.raises(StopError):
        storage.put_file("a", upload, check=check)

    assert place.everything() in ([], ["a"])
    if place.everything():
        assert place.read("a") == upload.read_bytes()


@pytest.mark.parametrize("key", ["none", "../upload", "a//b", "a/./b", "a\0b", "a\nb"])
def test_what_is_not_there_is_refused_and_leaves_no_file(
    key: str, storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(RejectedError) as caught:
        storage.get_file(key, tmp_path / "back", max_bytes=100)

    assert caught.value.code == "not_found"
    assert len(caught.value.message.splitlines()) == 1
    assert not (tmp_path / "back").exists()
    assert not (tmp_path / "back.part").exists()


def test_what_is_too_large_is_refused_before_all_of_it_is_fetched(
    storage: Storage, place: Place, tmp_path: Path
) -> None:
    place.write("a", b"x" * 11)

    with pytest.raises(RejectedError, match="has 11 bytes; at most 10 are") as caught:
        storage.get_file("a", tmp_path / "back", max_bytes=10)

    assert caught.value.code == "too_large"
    assert list(tmp_path.glob("back*")) == []


def test_what_is_replaced_while_it_is_read_is_read_again_another_time(
    storage: Storage, place: Place, tmp_path: Path
) -> None:
    place.write("a", bytes_of(6))
    (tmp_path / "back").write_bytes(b"before")

    versions = iter(range(7, 100))

    def replace() -> None:
        place.write("a", bytes_of(next(versions)))

    with pytest.raises(TransientError) as caught:
        storage.get_file("a", tmp_path / "back", max_bytes=10**8, check=replace)

    assert caught.value.code == "source_changed"
    assert (tmp_path / "back").read_bytes() == b"before"
    assert not (tmp_path / "back.part").exists()


def test_a_caller_that_must_stop_reading_leaves_no_file(
    storage: Storage, place: Place, tmp_path: Path
) -> None:
    place.write("a", bytes_of(6))

    def check() -> None:
        raise StopError

    with pytest.raises(StopError):
        storage.get_file("a", tmp_path / "back", max_bytes=10**8, check=check)

    assert list(tmp_path.glob("back*")) == []


def test_many_can_store_at_once(storage: Storage, place: Place, tmp_path: Path) -> None:
    files = {f"v/{n}": tmp_path / f"file-{n}" for n in range(40)}
    for key, path in files.items():
        path.write_text(key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(storage.put_file, files.keys(), files.values()))

    assert all(place.read(key) == key.encode() for key in files)
    assert place.everything() == sorted(files)


def test_a_store_that_lets_us_write_is_left_as_it_was(
    storage: Storage, place: Place
) -> None:
    storage.probe()

    assert place.everything() == []


def test_an_input_is_read_from_the_stores_that_are_set_and_from_no_other(
    storage: Storage, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = storage.uri("in")
    monkeypatch.setenv("NEXUS_STORAGE_INPUT_URL", inputs)
    monkeypatch.setenv("STORAGE_URL", storage.uri("out"))
    for key in ("in/a", "out/a", "in-2/a"):
        place.write(key, key.encode())
    settings = CoreSettings.load()

    found = [Storage.holding(storage.uri(key), settings) for key in ("in/a", "out/a")]

    assert [(where.uri(""), key) for where, key in found] == [
        (storage.uri("in/"), "a"),
        (storage.uri("out/"), "a"),
    ]
    with pytest.raises(ForbiddenUrlError) as caught:
        Storage.holding("s3://key:hush@bucket/a", settings)
    assert "hush" not in str(caught.value)
    for other in ("in-2/a", "a", "in"):
        with pytest.raises(ForbiddenUrlError, match="NEXUS_STORAGE_INPUT_URL"):
            Storage.holding(storage.uri(other), settings)
    where, key = Storage.holding(storage.uri("in/../in-2/a"), settings)
    with pytest.raises(RejectedError):
        where.get_file(key, tmp_path / "back", max_bytes=10)


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("https://cdn.example", "https://cdn.example/film/a%20b%23%3F.mp4"),
        ("https://cdn.example/x/", "https://cdn.example/x/film/a%20b%23%3F.mp4"),
    ],
)
def test_a_browser_gets_a_quoted_url(
    public_url: str, expected: str, tmp_path: Path
) -> None:
    assert connect(tmp_path, public_url).url("film/a b#?.mp4") == expected


def test_without_a_public_url_a_browser_opens_the_file(tmp_path: Path) -> None:
    storage = connect(tmp_path / "my files")

    assert storage.url("a b.mp4") == storage.uri("a b.mp4")
    assert storage.uri("a b.mp4") == f"{tmp_path.as_uri()}/my%20files/a%20b.mp4"


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_url_names_a_folder(host: str, tmp_path: Path) -> None:
    storage = connect(f"file://{host}{tmp_path}/my%20files")

    assert storage.name == str(tmp_path / "my files")
    assert Path(storage.name).is_dir()


def test_a_relative_folder_is_below_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert connect("storage").name == str(tmp_path / "storage")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gs://bucket/x", "gs:// is not supported"),
        ("s3://", "names no bucket"),
        ("s3:///x", "names no bucket"),
        ("s3://b", "names no bucket"),
        ("s3://user:pass@host/x", "names no bucket"),
        ("s3://bucket/a//b", "names no bucket"),
        ("s3://bucket/../b", "names no bucket"),
        ("s3://bucket/a\nb", "names no bucket"),
        ("file://storage/x", "file:///path/to/folder"),
        ("file://", "file:///path/to/folder"),
        ("file:///", "file:///path/to/folder"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, said: str) -> None:
    message = refusal(url).message

    assert said in message
    assert "pass" not in message


ORIGINAL = {"STORAGE_PROVIDER": "s3", "STORAGE_BUCKET": "films"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "nexus-storage"),
        (ORIGINAL, "s3://films"),
        ({"STORAGE_PROVIDER": "local"}, "nexus-storage"),
        (ORIGINAL | {"STORAGE_PROVIDER": "local"}, "nexus-storage"),
        (ORIGINAL | {"NEXUS_STORAGE_BUCKET": "ours"}, "s3://ours"),
        (ORIGINAL | {"STORAGE_URL": "/srv/media"}, "/srv/media"),
        (ORIGINAL | {"STORAGE_URL": "s3://ours/x"}, "s3://ours/x"),
        ({"STORAGE_PROVIDER": "s3", "STORAGE_URL": "s3://ours"}, "s3://ours"),
        ({"STORAGE_BUCKET": "films", "STORAGE_URL": "/srv/media"}, "/srv/media"),
    ],
)
def test_one_place_is_chosen_from_all_variables(
    environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert output_url(CoreSettings.load()) == expected


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("STORAGE_PROVIDER", "s3", "set it, or STORAGE_URL=s3://bucket/prefix"),
        ("STORAGE_BUCKET", "films", "set STORAGE_PROVIDER=s3, or unset it"),
        ("STORAGE_PROVIDER", "gcs", "STORAGE_PROVIDER: "),
        ("NEXUS_STORAGE_ADDRESSING", "host", "NEXUS_STORAGE_ADDRESSING: "),
        ("AWS_REGION", "eu west", "AWS_REGION: "),
    ],
)
def test_variables_that_name_no_place_are_one_line(
    name: str, value: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        Storage.connect(CoreSettings.load())

    assert remedy in caught.value.message
    assert len(caught.value.message.splitlines()) == 1


def test_a_folder_signs_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="set STORAGE_PUBLIC_URL"):
        connect(tmp_path).signed_url("a")


def test_a_folder_of_inputs_must_be_there(tmp_path: Path) -> None:
    inputs = str(tmp_path / "none")
    settings = CoreSettings.load({"storage_input_url": inputs})

    with pytest.raises(ConfigurationError, match="NEXUS_STORAGE_INPUT_URL: there is"):
        Storage.holding(f"file://{inputs}/a", settings)


def test_a_store_that_cannot_be_made_is_refused(upload: Path) -> None:
    error = refusal(upload / "storage")

    assert "not a directory" in error.message
    assert "set STORAGE_URL to a folder that this user may write" in error.message


def test_a_store_that_cannot_be_written_is_refused_before_any_work(
    mount: Callable[[str], Path],
) -> None:
    error = refusal(mount("ro"))

    assert "it cannot be written" in error.message
    assert not error.retryable


def test_a_full_store_says_so_and_keeps_nothing_of_the_file(
    mount: Callable[[str], Path], upload: Path
) -> None:
    storage = connect(mount("size=1m"))
    upload.write_bytes(b"x" * 2_000_000)

    with pytest.raises(NexusError) as caught:
        storage.put_file("film/a.mp4", upload)

    assert (type(caught.value), caught.value.code) == (ResourceError, "disk_full")
    assert caught.value.retryable
    assert "is full; free some space" in caught.value.message
    assert [path for path in Path(storage.name).rglob("*") if path.is_file()] == []


def is_open(path: Path) -> bool:
    """Tell whether this process has *path* open."""
    files = Path("/proc/self/fd").iterdir()
    return any(file.exists() and file.samefile(path) for file in files)


def test_a_large_file_is_stored_whole_or_not_at_all(
    mount: Callable[[str], Path], upload: Path
) -> None:
    # large enough to be written in parts
    storage = connect(mount("size=8m"))
    upload.write_bytes(b"x" * 20_000_000)

    with pytest.raises(ResourceError) as caught:
        storage.put_file("film/a.mp4", upload)

    assert [path for path in Path(storage.name).rglob("*") if path.is_file()] == []
    assert not is_open(upload), caught
    upload.write_bytes(b"x" * 6_000_000)
    storage.put_file("film/a.mp4", upload)
    assert Path(storage.name, "film/a.mp4").stat().st_size == 6_000_000


ENDS = """
import sys
from pathlib import Path
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
settings = CoreSettings.load({"storage_url": sys.argv[1]})
Storage.connect(settings).put_file("a", Path(__file__))
"""


def test_a_process_that_ends_right_after_a_write_ends_well(tmp_path: Path) -> None:
    script = tmp_path / "ends.py"
    script.write_text(ENDS)
    command = [sys.executable, str(script), str(tmp_path / "store")]

    running = [subprocess.Popen(command) for _ in range(scaled(16, full=200))]

    assert {process.wait(timeout=120) for process in running} == {0}
