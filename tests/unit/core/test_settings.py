"""Settings come from the environment, under generic names or our own."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import nexus_actors
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.settings import CoreSettings, Settings, default_temp_dir
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


def every_secret() -> list[tuple[type[Settings], str, str]]:
    """Return each secret of all settings: its class, its field and its variable."""
    for module in iter_modules(nexus_actors.__path__, "nexus_actors."):
        with suppress(ModuleNotFoundError):
            import_module(f"{module.name}.settings")
    import_module("nexus_actors.core.settings")
    found, classes = [], [Settings]
    while classes:
        model = classes.pop()
        classes += model.__subclasses__()
        found += [
            (model, name, str(getattr(alias, "choices", [alias])[0]))
            for name, field in model.model_fields.items()
            if "SecretStr" in str(field.annotation)
            for alias in [field.validation_alias]
        ]
    return found


def test_every_secret_may_be_in_a_file(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("hunt\ner2\r\n", "utf-8")

    secrets = every_secret()

    assert len(secrets) >= 16
    for model, field, variable in secrets:
        environment.setenv(f"{variable}_FILE", str(file))
        assert getattr(model.load(), field).get_secret_value() == "hunt\ner2"
        assert field in model.load().model_fields_set
        assert (
            getattr(model.load({field: "other"}), field).get_secret_value() == "other"
        )
        environment.delenv(f"{variable}_FILE")


@pytest.mark.parametrize(
    ("variables", "password"),
    [
        ({"REDIS_PASSWORD_FILE": "file"}, "filed"),
        ({"REDIS_PASSWORD_FILE": "file", "REDIS_PASSWORD": "set"}, "set"),
        ({"REDIS_PASSWORD_FILE": "file", "REDIS_PASSWORD": ""}, "filed"),
        ({"REDIS_PASSWORD_FILE": "file", "NEXUS_REDIS_PASSWORD": "set"}, "set"),
        ({"REDIS_PASSWORD_FILE": "none", "NEXUS_REDIS_PASSWORD_FILE": "file"}, "filed"),
        ({"REDIS_PASSWORD": "set", "NEXUS_REDIS_PASSWORD_FILE": "file"}, "filed"),
        ({"REDIS_PASSWORD": "set", "NEXUS_REDIS_PASSWORD_FILE": ""}, "set"),
        ({"REDIS_HOST_FILE": "none"}, None),
    ],
)
def test_a_variable_wins_over_its_file_and_our_own_name_over_both(
    variables: dict[str, str],
    password: str | None,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("filed\n", "utf-8")
    environment.chdir(tmp_path)
    for name, value in variables.items():
        environment.setenv(name, value)

    found = CoreSettings.load().redis_password

    assert (found and found.get_secret_value()) == password


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is no text"),
    ],
)
def test_a_file_without_a_secret_is_named_with_its_variable(
    content: bytes | None,
    reason: str,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    environment.setenv("NEXUS_SECRET_KEY_FILE", str(file))

    with pytest.raises(ConfigurationError) as caught:
        CoreSettings.load()

    assert caught.value.message == f"NEXUS_SECRET_KEY_FILE: {file}: {reason}"
    assert list(caught.value.details["variables"]) == ["NEXUS_SECRET_KEY_FILE"]
