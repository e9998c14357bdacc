"""The options of a message that only our broker acts on.

Each is the sender's, else the actor's; an actor may work out its own from the body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from nexus_actors.core.errors import InvalidRequestError


#: The priority of a message that names none; 0 is the most urgent, 9 the least.
DEFAULT_PRIORITY: Final = 5

#: Those that an actor has for its messages: a host that only sends knows them, too.
SENT_ALONG: Final = (
    "dedupe_for",
    "dedupe_key",
    "find_by",
    "group",
    "priority",
    "track",
)

#: The longest delay, in ms: a hundred years, which nobody means.
MAX_DELAY_MS: Final = 100 * 365 * 86_400_000

#: The longest name of a group, a key, or what a job is found by; in characters.
MAX_NAME: Final = 512

Body = Mapping[str, Any]


def given(**options: Any) -> dict[str, Any]:
    """Return those of *options* that are not ``None``."""
    return {name: value for name, value in options.items() if value is not None}


def chosen(
    asked: Mapping[str, Any], of_actor: Mapping[str, Any], body: Callable[[], Body]
) -> dict[str, Any]:
    """Return the options that go with a message, as plain JSON.

    Args:
        asked: The message's own.
        of_actor: Its actor's: values, or functions of the body, which may return
            nothing; of ``find_by``, names of the body's fields.
        body: Returns the arguments by name.
    """
    found = {}
    for name in SENT_ALONG:
        value = asked.get(name)
        if value is None:
            value = of_actor.get(name)
            if value is None:
                continue
            if callable(value):
                value = value(body()) or None
            elif name == "find_by" and value:
                value = _fields(value, body())
        if isinstance(value, timedelta):
            value = round(value.total_seconds() * 1000)
        if value is not None:
            found[name] = value
    return found


def need_body(of_actor: Mapping[str, Any]) -> bool:
    """Whether what an actor has for its messages depends on their arguments."""
    values = [of_actor.get(name) for name in SENT_ALONG]
    return bool(of_actor.get("find_by")) or any(map(callable, values))


def _fields(names: tuple[str, ...], body: Body) -> dict[str, str] | None:
    found = {name: str(body[name]) for name in names if body.get(name) is not None}
    return found or None


def check(options: Mapping[str, Any]) -> None:
    """Refuse options that cannot be what they are to be.

    Raises:
        InvalidRequestError: Naming the option.
    """
    if "priority" in options:
        check_priority(options["priority"])
    for name in ("dedupe_key", "group"):
        if name in options:
            _check_name(name, options[name])
    if "dedupe_for" in options:
        _check_dedupe_for(options)
    if "find_by" in options:
        _check_find_by(options["find_by"])


def check_priority(priority: Any) -> None:
    """Refuse what is no priority.

    Raises:
        InvalidRequestError: It is not an integer from 0 to 9.
    """
    if type(priority) is not int or not 0 <= priority <= 9:  # noqa: PLR2004 - the scale
        raise InvalidRequestError(
            f"priority: {priority!r} is not an integer from 0, the most urgent, to 9"
        )


def check_delay(delay: Any) -> None:
    """Refuse what is no time to wait, in ms.

    Raises:
        InvalidRequestError: It is no number, or more than a hundred years.
    """
    is_number = isinstance(delay, int | float)
    if not is_number or not -MAX_DELAY_MS <= delay <= MAX_DELAY_MS:
        raise InvalidRequestError(
            f"delay: {delay!r} is no number of ms up to a hundred years"
        )


def check_queue(name: str) -> None:
    """Refuse a queue whose list would be another of our keys.

    Raises:
        InvalidRequestError: It is called ``events``, or begins as our keys do.
    """
    if name == "events" or name.startswith(("budgets:", "job:", "__")):
        raise InvalidRequestError(
            f"queue {name!r}: the broker has a key of this name; choose another"
        )


def _check_name(option: str, name: Any) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise InvalidRequestError(
            f"{option}: {name!r} is not a text of 1 to {MAX_NAME} characters"
        )


def _check_dedupe_for(options: Mapping[str, Any]) -> None:
    ms = options["dedupe_for"]
    if type(ms) is not int or ms <= 0:
        raise InvalidRequestError(f"dedupe_for: {ms!r} is no number of ms above 0")
    if "dedupe_key" not in options:
        raise InvalidRequestError("dedupe_for: needs a dedupe_key")


def _check_find_by(names: Any) -> None:
    if not isinstance(names, dict):
        raise InvalidRequestError('find_by: is not an object such as {"video_id": "v"}')
    for name, value in names.items():
        _check_name("find_by", name)
        _check_name(f"find_by.{name}", value)
