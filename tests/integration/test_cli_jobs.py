"""``dead``, ``job --cancel`` and ``events --group``, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner

from nexus_actors import NexusError, PermanentError, RedisBroker
from nexus_actors.cli import cli
from queues import ended, make_actor, settled, working


Type = Callable[..., tuple[int, list[Any]]]


@pytest.fixture
def type_(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Run a command; return its exit code and the JSON that it prints."""
    monkeypatch.setenv("REDIS_URL", redis_url)

    def run(*words: str) -> tuple[int, list[Any]]:
        result = CliRunner().invoke(cli, words, standalone_mode=False)
        if result.exception:
            raise result.exception
        code = result.return_value or 0
        return code, [json.loads(line) for line in result.stdout.splitlines()]

    return run


def fail(number: int = 0) -> None:
    if number < 3:
        raise PermanentError("no", code="odd" if number % 2 else "even")


def test_dead_letters_are_listed_shown_requeued_and_purged(
    broker: RedisBroker, type_: Type
) -> None:
    actor = make_actor(fail)
    actor.declare_on(broker)
    with working(broker):
        sent = [actor.send(number=number) for number in range(3)]
        ids = [ended(message, broker).id for message in sent]
        settled(broker)

    code, [newest, *_] = type_("dead", "list", "--queue", "tests", "--since", "1h")
    _, rest = type_("dead", "list", "--after", newest["cursor"], "--limit", "9")
    assert code == 0
    assert {newest["id"], *(letter["id"] for letter in rest)} == {*ids}
    assert len(rest) == 2
    assert type_("dead", "list", "--before", "1h") == (0, [])
    _, [odd] = type_("dead", "list", "--error", "odd", "--reason", "odd")
    assert (odd["id"], odd["actor"]) == (ids[1], "tests.fail")
    _, [shown] = type_("dead", "show", ids[1])
    assert shown["arguments"]["kwargs"] == {"number": 1}
    assert type_("dead", "show", "none")[0] == 1

    assert type_("dead", "requeue", "--error", "odd") == (
        *(0, [{"requeued": 1, "left": 0}]),
    )
    assert type_("dead", "requeue", ids[0], "none") == (
        *(1, [{"requeued": 1, "left": 0}]),
    )
    assert type_("dead", "purge", ids[0])[0] == 1
    assert type_("dead", "purge", "--before", "1d") == (0, [{"purged": 0}])
    assert type_("dead", "purge", "--all") == (0, [{"purged": 1}])


@pytest.mark.parametrize(
    "words",
    [
        "dead requeue",
        "dead purge",
        "dead purge --all --queue tests",
        "dead list --since yesterday",
        "dead list --before 2030-01-31",
        "dead list --since 999999d",
        "dead list --limit 10000000000000000000",
        "schedule list --limit 10000000000000000000",
        "publications list --limit -1",
        "oauth login tiktok --port 70000",
    ],
)
def test_what_would_mean_too_much_or_nothing_is_refused(
    type_: Type, words: str
) -> None:
    with pytest.raises(click.UsageError):
        type_(*words.split())


def test_a_job_is_cancelled_and_a_group_hears_of_it_once(
    broker: RedisBroker, type_: Type
) -> None:
    actor = make_actor(fail)
    actor.broker = broker
    job = actor.send(number=1).message_id

    answer = {"job": job, "cancel": "cancelled"}
    assert type_("job", job, "--cancel") == (0, [answer])
    assert type_("job", job, "--cancel") == (1, [answer | {"cancel": "ended"}])
    with pytest.raises(NexusError, match="no job 'none'"):
        type_("job", "none", "--cancel")
    group = ("events", "--json", "--group", "g", "--since", "0", "--no-follow")
    _, told = type_(*group)
    assert [event["event"] for event in told] == ["job.enqueued", "job.cancelled"]
    assert type_(*group) == (0, [])
