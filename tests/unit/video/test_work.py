"""A job's folder is held by one process and swept up when it is forgotten."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from nexus_actors.core import clock
from nexus_actors.core.errors import Postponed
from nexus_actors.video.work import (
    AGAIN_S,
    FRESH_S,
    INLINE,
    KEEP_S,
    LOCK,
    folder_of,
    hold,
    sweep,
)


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder / LOCK, (then, then))


@pytest.mark.parametrize(
    "job_id", ["..", ".", "../../etc", "/etc", "a/b", "a\0b", "ü", "!d"]
)
def test_no_job_id_leads_out_of_the_folder_of_all_jobs(
    job_id: str, tmp_path: Path
) -> None:
    folder = folder_of(job_id, tmp_path)

    assert folder.parent == tmp_path
    assert folder.resolve().parent == tmp_path.resolve()
    assert "%" not in folder.name


def test_different_jobs_have_different_folders(tmp_path: Path) -> None:
    ids = ["a", "a.b", "a%2Eb", "a=2Eb", "a/b", "inline-1", "8d2f-1"]

    assert len({folder_of(job_id, tmp_path) for job_id in ids}) == len(ids)


def test_a_held_folder_is_private_and_refused_to_a_second_holder(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "work" / "job"

    with (
        hold(folder),
        pytest.raises(Postponed, match="another worker") as caught,
        hold(folder),
    ):
        pass

    assert folder.stat().st_mode & 0o777 == 0o700
    assert 0 < (caught.value.until - clock.now()).total_seconds() <= AGAIN_S


def test_a_folder_can_be_held_again_after_its_holder(tmp_path: Path) -> None:
    with hold(tmp_path / "job"):
        (tmp_path / "job" / "step.json").touch()

    with hold(tmp_path / "job"):
        assert (tmp_path / "job" / "step.json").exists()


def test_a_holder_may_delete_the_folder(tmp_path: Path) -> None:
    with hold(tmp_path / "job"):
        (tmp_path / "job" / LOCK).unlink()
        (tmp_path / "job").rmdir()
        with hold(tmp_path / "job"):
            assert (tmp_path / "job" / LOCK).exists()


def test_only_what_nobody_has_held_for_long_is_swept(tmp_path: Path) -> None:
    for name in ("old", "held", "new"):
        with hold(tmp_path / name):
            (tmp_path / name / "out").mkdir()
    (tmp_path / "stranger").mkdir()
    age(tmp_path / "old", KEEP_S + 60)
    age(tmp_path / "new", KEEP_S - 60)

    with hold(tmp_path / "held"):
        age(tmp_path / "held", KEEP_S + 60)
        sweep(tmp_path)

    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["held", "new", "stranger"]
    assert (tmp_path / "held" / "out").exists()


def test_what_no_job_goes_on_from_is_swept_at_once_unless_it_is_held(
    tmp_path: Path,
) -> None:
    done, waiting, caller = "job/1", "job/2", f"{INLINE}1"
    for job in (done, waiting, caller):
        with hold(folder_of(job, tmp_path)):
            pass
        age(folder_of(job, tmp_path), FRESH_S + 1)
    for job in (f"{done}b", f"{caller}b"):
        with hold(folder_of(job, tmp_path)):
            pass  # fresh: another process may be about to hold it

    def is_done_with(job: str) -> bool:
        return job.startswith(done)

    with hold(folder_of(done, tmp_path)), hold(folder_of(caller, tmp_path)):
        age(folder_of(done, tmp_path), FRESH_S + 1)
        age(folder_of(caller, tmp_path), FRESH_S + 1)
        sweep(tmp_path, is_done_with)
        assert len(list(tmp_path.iterdir())) == 5
    sweep(tmp_path, is_done_with)

    left = {folder_of(job, tmp_path) for job in (waiting, f"{done}b", f"{caller}b")}
    assert {*tmp_path.iterdir()} == left


def test_there_may_be_nothing_to_sweep(tmp_path: Path) -> None:
    sweep(tmp_path / "nowhere")

    assert not (tmp_path / "nowhere").exists()
