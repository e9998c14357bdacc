"""Settings come from the environment, under generic names or our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.settings import CoreSettings, default_temp_dir
from nexus_actors.notifications.settings import NotificationSettings
from nexus_actors.video.settings import VideoSettings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        ({}, 6379),
        ({"REDIS_PORT": "7000"}, 7000),
        ({"NEXUS_REDIS_PORT": "7001"}, 7001),
        ({"REDIS_PORT": "7000", "NEXUS_REDIS_PORT": "7001"}, 7001),
        ({"REDIS_PORT": "7000", "NEXUS_REDIS_PORT": ""}, 7000),
        ({"REDIS_PORT": "", "NEXUS_REDIS_PORT": ""}, 6379),
        ({"REDIS_PORT": "", "NEXUS_REDIS_PORT": "7001"}, 7001),
        ({"redis_port": "7000"}, 6379),
    ],
)
def test_our_own_name_wins_and_empty_means_unset(
    variables: dict[str, str], port: int, environment: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)

    assert CoreSettings.load().redis_port == port


def test_what_this_library_has_added_has_no_generic_name(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DOMAINS", "a host's own")

    assert CoreSettings.load().domains is None


def test_values_win_over_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NEXUS_REDIS_PORT", "7001")

    assert CoreSettings.load({"redis_port": 7002}).redis_port == 7002


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_PORT", "seven"),
        ("REDIS_PORT", "99999"),
        ("NEXUS_REDIS_PORT", "0"),
        ("REDIS_DB", "-1"),
        ("WORKER_CONCURRENCY", "0"),
        ("MAX_RETRIES", "1.5"),
        ("LOG_LEVEL", "loud"),
        ("NEXUS_LOG_FORMAT", "xml"),
    ],
)
def test_a_malformed_variable_is_named_as_it_was_set(
    name: str, value: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        CoreSettings.load()

    assert caught.value.message.startswith(f"{name}: input should be ")
    assert list(caught.value.details["variables"]) == [name]


def test_all_malformed_variables_are_named_in_one_line_without_their_values(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("REDIS_PORT", "hunter2")
    environment.setenv("NEXUS_JOB_TTL_S", "hunter3")

    with pytest.raises(ConfigurationError) as caught:
        CoreSettings.load()

    assert "REDIS_PORT: " in caught.value.message
    assert "; NEXUS_JOB_TTL_S: " in caught.value.message
    assert "hunter" not in caught.value.message
    assert len(caught.value.message.splitlines()) == 1


def test_a_value_that_is_no_json_is_told_by_its_variable_and_not_shown(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("NEXUS_PROVIDER_RATES", "{s3cr3t")

    with pytest.raises(ConfigurationError) as caught:
        NotificationSettings.load()

    assert caught.value.message.startswith("NEXUS_PROVIDER_RATES: is no JSON: ")
    assert "s3cr3t" not in caught.value.message


@pytest.mark.parametrize("level", ["warning", "WARNING", "Warning"])
def test_a_log_level_may_be_written_small(
    level: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("LOG_LEVEL", level)

    assert CoreSettings.load().log_level == "WARNING"


def test_a_password_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REDIS_PASSWORD", "hunter2")
    environment.setenv("REDIS_URL", "redis://:hunter2@127.0.0.1")

    settings = CoreSettings.load()

    assert "hunter2" not in repr(settings)
    assert settings.redis_password is not None
    assert settings.redis_password.get_secret_value() == "hunter2"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        CoreSettings.load().redis_port = 1  # type: ignore[misc]


def test_working_files_go_to_a_folder_of_this_users_own() -> None:
    assert CoreSettings.load().temp_dir == default_temp_dir()
    assert default_temp_dir() != Path(default_temp_dir().parent)


@pytest.mark.parametrize(
    ("value", "bits"),
    [("750000", 750_000), ("96k", 96_000), ("96K", 96_000), ("6M", 6_000_000)],
)
def test_a_bit_rate_may_have_a_unit(
    value: str, bits: int, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("VIDEO_BITRATE", value)

    assert VideoSettings.load().video_bitrate == bits


@pytest.mark.parametrize("value", ["0", "-1", "96 k", "96m", "fast", "1e5", "9M"])
def test_a_bit_rate_that_is_none_is_refused(
    value: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AUDIO_BITRATE", value)

    with pytest.raises(ConfigurationError, match="AUDIO_BITRATE"):
        VideoSettings.load()
