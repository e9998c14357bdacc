"""What is fetched is checked before dramatiq's threads stumble over it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dramatiq.errors import DecodeError

from nexus_actors.engine.consumer import decode


MESSAGE: dict[str, Any] = {
    "queue_name": "tests",
    "actor_name": "tests.double",
    "args": [],
    "kwargs": {"number": 1},
    "options": {"redis_message_id": "1"},
    "message_id": "a",
    "message_timestamp": 0,
}


def test_a_message_of_any_producer_is_read() -> None:
    message = decode(json.dumps(MESSAGE).encode(), "tests")

    assert message.kwargs == {"number": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kwargs": [1]},
        {"options": None},
        {"options": {}},
        {"message_id": []},
        {"actor_name": 7},
        {"queue_name": "others"},
        {"args": 3},
        {"more": 1},
    ],
    ids=str,
)
def test_a_message_that_no_worker_could_end_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode(json.dumps(MESSAGE | wrong).encode(), "tests")


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b"\xff\x00", b"null"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, "tests")
