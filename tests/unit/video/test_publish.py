"""What names others is stored after what it names, and a failure leaves nothing."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError, Postponed, ResourceError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.video.publish import Published, Upload, fresh_url, waves
from objectstores import ACCESS, Folder, Place
from web import web


MEDIA = ["a/0/init.mp4", "mp4/360.mp4", "thumb/small.jpg", "v/360/00001.m4s"]
PLAYLISTS = ["hls/a_0.m3u8", "hls/v_360.m3u8", "hls/v_360_iframe.m3u8"]
ENTRIES = ["dash/manifest.mpd", "hls/master.m3u8", "metadata.json"]


def publish(
    root: Path,
    prefix: str,
    storage: Storage,
    *,
    without: tuple[str, ...] = (),
    **hooks: Callable[..., None],
) -> Published:
    with Upload(root, prefix, storage, without=without) as upload:
        return upload.finish(**hooks)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in (*MEDIA, *PLAYLISTS, *ENTRIES):
        (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / path).write_text(path)
    return tmp_path / "out"


def test_media_come_before_playlists_and_entry_points_last() -> None:
    paths = sorted([*ENTRIES, *PLAYLISTS, *MEDIA])

    assert waves(paths) == [MEDIA, PLAYLISTS, ENTRIES]


def test_there_is_no_wave_without_files() -> None:
    assert waves(["hls/master.m3u8"]) == [["hls/master.m3u8"]]


def test_every_file_is_stored_under_the_prefix(
    storage: Storage, place: Place, root: Path
) -> None:
    told: list[float] = []

    published = publish(root, "film/v1", storage, on_progress=told.append)

    wanted = {f"film/v1/{path}" for path in (*MEDIA, *PLAYLISTS, *ENTRIES)}
    assert set(storage.keys("")) == wanted
    assert place.read("film/v1/hls/master.m3u8") == b"hls/master.m3u8"
    assert told == sorted(told)
    assert told[-1] == 1
    assert published.paths == {*MEDIA, *PLAYLISTS, *ENTRIES}
    assert published.stored("metadata.json").uri.endswith("film/v1/metadata.json")


def test_what_outputs_were_made_of_is_not_stored(storage: Storage, root: Path) -> None:
    published = publish(root, "film/v1", storage, without=("v/360", "a"))

    assert published.paths == {*MEDIA[1:3], *PLAYLISTS, *ENTRIES}
    assert set(storage.keys("")) == {f"film/v1/{path}" for path in published.paths}


def test_no_reader_sees_a_name_before_the_file_that_it_names(
    storage: Storage, root: Path
) -> None:
    seen: list[set[str]] = []

    def look(_: float) -> None:
        seen.append({key.removeprefix("film/v1/") for key in storage.keys("film/v1")})

    publish(root, "film/v1", storage, on_progress=look)

    assert len(seen) >= 3
    for keys in seen:
        assert not keys & {*PLAYLISTS, *ENTRIES} or keys >= set(MEDIA)
        assert not keys & set(ENTRIES) or keys >= set(PLAYLISTS)


@pytest.mark.parametrize("after", [0.01, 0.5, 1.0])
def test_a_job_that_stops_in_the_middle_leaves_nothing(
    after: float, storage: Storage, place: Place, root: Path
) -> None:
    reached = threading.Event()

    def note(fraction: float) -> None:
        if fraction >= after:
            reached.set()

    def check() -> None:
        if reached.is_set():
            raise Postponed("the worker shuts down", until=clock.now())

    with pytest.raises(Postponed):
        publish(root, "film/v2", storage, check=check, on_progress=note)

    assert place.everything() == []


def test_a_store_that_fails_in_the_middle_keeps_nothing_but_what_others_have_there(
    tmp_path: Path, root: Path
) -> None:
    place = Folder(tmp_path / "storage")
    storage = Storage.connect(CoreSettings.load({"storage_url": str(place.root)}))
    publish(root, "film/v1", storage)
    before = storage.keys("")
    # a folder where a playlist must go
    (place.root / "film/v2/hls/v_360.m3u8/x").mkdir(parents=True)

    with pytest.raises(ResourceError):
        publish(root, "film/v2", storage)

    assert place.everything() == before


def test_what_a_killed_attempt_has_left_goes_with_a_failure(
    storage: Storage, place: Place, root: Path
) -> None:
    place.write("film/v2/v/360/00009.m4s", b"")

    def check() -> None:
        raise Postponed("the worker shuts down", until=clock.now())

    with pytest.raises(Postponed):
        publish(root, "film/v2", storage, check=check)

    assert place.everything() == []


def test_publishing_again_replaces_what_is_there(
    storage: Storage, place: Place, root: Path
) -> None:
    publish(root, "film/v1", storage)
    (root / "metadata.json").write_text("new")

    publish(root, "film/v1", storage)

    assert place.read("film/v1/metadata.json") == b"new"


def test_an_output_is_found_by_its_uri_again(
    storage: Storage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(root, "film/v1", storage)
    stored = published.stored("mp4/360.mp4")

    with urllib.request.urlopen(fresh_url(stored.uri, ttl_s=60)) as found:
        assert found.read() == b"mp4/360.mp4"
    monkeypatch.setenv("STORAGE_PUBLIC_URL", "https://cdn.example")
    assert fresh_url(stored.uri) == "https://cdn.example/film/v1/mp4/360.mp4"
    with pytest.raises(InvalidRequestError, match="is not in"):
        fresh_url("s3://others/film/v1/mp4/360.mp4")


def test_a_store_that_is_silent_does_not_hold_up_the_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web() as site:
        site.replies = [site.say_nothing]
        for name, value in ACCESS.items():
            monkeypatch.setenv(name, value)
        values = {"storage_url": "s3://bucket", "storage_endpoint": site.url("")}
        storage = Storage.connect(CoreSettings.load(values))

        def check() -> None:
            if site.requests:
                raise Postponed("the worker shuts down", until=clock.now())

        started = time.monotonic()
        with pytest.raises(Postponed):
            publish(root, "film/v1", storage, check=check)

        assert time.monotonic() - started < 40  # a request may take 120 s
