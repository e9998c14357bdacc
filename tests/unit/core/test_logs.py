"""Logs are one JSON object a line, and hold no secret."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import structlog

from nexus_actors.core.logs import REDACTED, configure, get_logger, redact


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert not out
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "redis_password",
        "passwd",
        "passphrase",
        "passwords",
        "client_secret",
        "AWS_SECRET_ACCESS_KEY",
        "access_token",
        "refreshToken",
        "api_key",
        "apikey",
        "X-Api-Key",
        "access_key",
        "private_key",
        "Authorization",
        "credentials",
        "Set-Cookie",
    ],
)
def test_what_has_a_secrets_name_is_redacted_at_any_depth(name: str) -> None:
    value = {"a": [{"b": ({name: "hunter2"},)}], name: {"user": "hunter2"}}

    assert redact(value) == {"a": [{"b": [{name: REDACTED}]}], name: REDACTED}


@pytest.mark.parametrize("name", ["passed", "compass_x", "step", "video_id", "author"])
def test_what_only_resembles_a_secret_stays(name: str) -> None:
    assert redact({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("at redis://u:hunter2@host, twice", "at redis://***@host, twice"),
        ("postgres://u:p@ss@host/db", "postgres://***@host/db"),
        ("https://host/a:b@c", "https://host/a:b@c"),
        ("me@example.org at 10:30", "me@example.org at 10:30"),
    ],
)
def test_a_password_in_a_url_is_redacted_wherever_it_stands(
    text: str, expected: str
) -> None:
    assert redact({"reason": [text]}) == {"reason": [expected]}


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")
    structlog.contextvars.bind_contextvars(message_id="m-1")

    get_logger("nexus_actors.x").info("video.made", step="a\nb", token="hunter2")

    [event] = lines(capsys)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "video.made",
        "level": "info",
        "logger": "nexus_actors.x",
        "message_id": "m-1",
        "step": "a\nb",
        "token": REDACTED,
    }


def test_what_is_no_json_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")

    get_logger("x").info("a.b", items={"set"}, kind=int)

    [event] = lines(capsys)
    assert (event["items"], event["kind"]) == (["set"], "<class 'int'>")


def test_an_exception_stays_on_the_line_of_its_event_and_tells_no_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("INFO", "json")

    try:
        int("redis://:hunter2@host")
    except ValueError:
        get_logger("x").exception("a.failed")

    [event] = lines(capsys)
    assert "ValueError: invalid literal" in event["exception"]
    assert "redis://***@host" in event["exception"]
    assert "hunter2" not in json.dumps(event)


def test_the_standard_librarys_logs_come_in_the_same_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("INFO", "json")

    logging.getLogger("dramatiq").warning("took %d s", 3, extra={"password": "x"})

    [event] = lines(capsys)
    assert event["event"] == "took 3 s"
    assert (event["logger"], event["level"]) == ("dramatiq", "warning")
    assert event["password"] == REDACTED


def test_what_is_below_the_level_is_not_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("WARNING", "json")

    get_logger("x").info("a.b")
    logging.getLogger("y").debug("c")

    assert lines(capsys) == []


def test_the_last_configuration_counts(capsys: pytest.CaptureFixture[str]) -> None:
    configure("DEBUG", "console")
    configure("INFO", "json")

    get_logger("x").info("a.b")

    assert len(lines(capsys)) == 1


def test_a_console_gets_words_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("INFO", "console")

    get_logger("x").info("a.b", token="hunter2")

    said = capsys.readouterr().err
    assert "a.b" in said
    assert "hunter2" not in said


def test_without_a_terminal_the_format_is_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()

    get_logger("x").info("a.b")

    assert lines(capsys)[0]["event"] == "a.b"


def test_the_environment_is_named_on_every_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(style="json", env="staging")

    get_logger("ours").info("a.started")
    logging.getLogger("theirs").warning("also this")

    assert [line["env"] for line in lines(capsys)] == ["staging", "staging"]


def test_a_host_that_has_set_up_nothing_gets_messages_and_nothing_on_stdout(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = get_logger("nexus_actors.engine")
    caplog.set_level("INFO")
    log.debug("job.seen")
    log.info("job.dead", token="s3cr3t", reason="no %s", count=2)
    try:
        int("odd")
    except ValueError:
        log.exception("job.failed")

    assert caplog.messages == [
        "job.dead token='***' reason='no %s' count=2",
        "job.failed",
    ]
    assert [record.name for record in caplog.records] == ["nexus_actors.engine"] * 2
    assert "ValueError: invalid literal" in caplog.text
    assert capsys.readouterr().out == ""


def test_a_host_that_has_configured_structlog_gets_events() -> None:
    with structlog.testing.capture_logs() as told:
        get_logger("nexus_actors.engine").info("job.dead", count=2)

    assert told == [{"event": "job.dead", "count": 2, "log_level": "info"}]
