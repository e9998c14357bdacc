"""The store: a folder addressed by keys."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nexus_actors.core.errors import ConfigurationError, NexusError, ResourceError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage


def connect(url: Path | str, public_url: str | None = None) -> Storage:
    values = {"storage_url": str(url), "storage_public_url": public_url}
    return Storage.connect(CoreSettings.load(values))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return connect(tmp_path / "storage")


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


def test_what_is_stored_can_be_found_under_its_key(
    storage: Storage, upload: Path
) -> None:
    storage.put_file("film/v1/a.mp4", upload)

    assert storage.keys("") == ["film/v1/a.mp4"]
    assert (storage.root / "film/v1/a.mp4").read_bytes() == b"content"


def test_a_prefix_is_a_whole_part_of_a_key(storage: Storage, upload: Path) -> None:
    for key in ("film/1", "film/2", "film-2/1", "filmed/1"):
        storage.put_file(key, upload)

    assert storage.keys("film") == ["film/1", "film/2"]
    assert storage.keys("none") == []


def test_storing_again_replaces_the_whole(storage: Storage, upload: Path) -> None:
    storage.put_file("a", upload)
    upload.write_bytes(b"x")

    storage.put_file("a", upload)

    assert (storage.root / "a").read_bytes() == b"x"


def test_a_deleted_key_leaves_no_empty_folder(storage: Storage, upload: Path) -> None:
    for key in ("film/v1/a", "film/v2/a"):
        storage.put_file(key, upload)

    storage.delete(["film/v1/a", "film/v1/never-there"])

    assert storage.keys("") == ["film/v2/a"]
    assert not (storage.root / "film/v1").exists()


def test_what_cannot_be_read_is_an_error_of_ours(
    storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(ResourceError):
        storage.put_file("a", tmp_path / "gone")


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

    assert storage.root == tmp_path / "my files"
    assert storage.root.is_dir()


def test_a_relative_folder_is_below_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert connect("storage").root == tmp_path / "storage"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/x", "s3:// is not supported"),
        ("file://storage/x", "file:///path/to/folder"),
        ("file://", "file:///path/to/folder"),
        ("file:///", "file:///path/to/folder"),
    ],
)
def test_a_url_that_names_no_folder_is_refused(url: str, said: str) -> None:
    assert said in refusal(url).message


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
    assert [path for path in storage.root.rglob("*") if path.is_file()] == []


def test_a_large_file_is_stored_whole_or_not_at_all(
    mount: Callable[[str], Path], upload: Path
) -> None:
    # large enough to be written in parts
    storage = connect(mount("size=8m"))
    upload.write_bytes(b"x" * 20_000_000)

    with pytest.raises(ResourceError):
        storage.put_file("film/a.mp4", upload)

    assert [path for path in storage.root.rglob("*") if path.is_file()] == []
    upload.write_bytes(b"x" * 6_000_000)
    storage.put_file("film/a.mp4", upload)
    assert (storage.root / "film/a.mp4").stat().st_size == 6_000_000
