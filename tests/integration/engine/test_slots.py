"""Slots are shared by the processes of a host and freed by its kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nexus_actors import ConfigurationError
from nexus_actors.engine.slots import HostSlots, cpu_quota


TAKE = """
import sys
from pathlib import Path
from nexus_actors.engine.slots import HostSlots
print(HostSlots(Path(sys.argv[1]), 2).take() is not None, flush=True)
sys.stdin.read()
"""


def test_there_are_as_many_as_were_set(tmp_path: Path) -> None:
    slots = HostSlots(tmp_path, 2)
    first, second = slots.take(), slots.take()
    assert first
    assert second

    assert slots.take() is None
    first.release()
    first.release()

    assert slots.take() is not None
    assert slots.take() is None
    second.release()


def test_a_killed_process_gives_its_slot_back(tmp_path: Path) -> None:
    here = HostSlots(tmp_path, 2).take()
    other = subprocess.Popen(
        [sys.executable, "-c", TAKE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout
        assert other.stdout.readline() == "True\n"
        assert HostSlots(tmp_path, 2).take() is None

        other.kill()
        other.wait()

        again = HostSlots(tmp_path, 2).take()
    assert here
    assert again


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="set TEMP_DIR"):
        HostSlots(tmp_path / "file" / "slots", 1).take()


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({}, None),
        ({"a/b": "max 100000"}, None),
        ({"a/b": "200000 100000"}, 2),
        ({"a/b": "max 100000", "a": "250000 100000"}, 3),  # of the group above
        ({"a/b": "800000 100000", "a": "50000 100000"}, 1),
        ({".": "400000 100000", "c": "100000 100000"}, 4),  # c is not above
        ({"a/b": "nonsense"}, None),
    ],
)
def test_a_quota_of_processors_is_that_of_the_tightest_group_above(
    quotas: dict[str, str], expected: int | None, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text("12:memory:/other\n0::/a/b\n")
    for group, told in quotas.items():
        (tmp_path / "groups" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / group / "cpu.max").write_text(f"{told}\n")

    assert cpu_quota(tmp_path / "groups", tmp_path / "own") == expected


def test_there_may_be_no_groups_at_all(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "own") is None
