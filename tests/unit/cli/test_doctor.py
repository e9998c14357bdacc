"""What `nexus-actors doctor` makes of settings that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nexus_actors.cli import cli
from nexus_actors.cli.doctor import check_database, check_redis


def parts() -> dict[str, list[dict[str, Any]]]:
    done = CliRunner().invoke(cli, ["doctor", "--json"], standalone_mode=False)
    assert done.return_value == 1
    found: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads(done.stdout):
        found.setdefault(each["part"], []).append(each)
    return found


def test_a_setting_that_is_wrong_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://localhost/word")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:s3cr3t@127.0.0.1:1/nexus")
    monkeypatch.setenv("TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("FFMPEG_PRESET", "warp")
    monkeypatch.setenv("NEXUS_PROVIDER_RATES", "[")

    found = parts()
    wrong = {each["found"].partition(":")[0] for each in found["settings"]}

    assert wrong == {
        "FFMPEG_PRESET",
        "NEXUS_PROVIDER_RATES",
        "REDIS_URL is not a redis",
    }
    assert "127.0.0.1:1 cannot be used" in found["database"][0]["found"]
    assert "s3cr3t" not in str(found)
    assert found["TEMP_DIR"][0]["state"] == "ok"


def test_a_setting_that_all_need_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "word")

    found = parts()

    assert [each["found"][:12] for each in found["settings"]] == ["REDIS_PORT: "]
    assert not {"redis", "database", "storage"} & found.keys()


@pytest.mark.parametrize("wish", ["", "1"])
def test_who_wants_no_colours_gets_none(
    monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    monkeypatch.setenv("REDIS_PORT", "word")
    monkeypatch.setenv("FFMPEG_PRESET", "warp")
    monkeypatch.setenv("NO_COLOR", wish)

    told = CliRunner().invoke(cli, ["doctor"], color=True).output

    assert ("\x1b[" in told) == (not wish)


@pytest.mark.parametrize(
    ("file", "state"), [("new/nexus.db", "ok"), ("taken/nexus.db", "missing")]
)
def test_where_no_database_and_no_redis_can_be_made_that_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, state: str
) -> None:
    (tmp_path / "taken").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / file}")

    monkeypatch.setenv("XDG_STATE_HOME", str((tmp_path / file).parent))

    for check in (check_database, check_redis):
        [found] = check()
        assert found.state == state
        assert state == "ok" or str((tmp_path / file).parent) in found.found
