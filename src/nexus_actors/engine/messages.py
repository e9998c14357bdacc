"""Messages as they are stored, and what the scripts that store them are told."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain, groupby
from typing import Any, Final

import dramatiq
from dramatiq import JSONEncoder, Message, MessageProxy, get_encoder
from dramatiq.common import q_name

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError

from . import jobs, options
from .events import MAX_EVENTS
from .options import DEFAULT_PRIORITY


#: How a message's text begins.
_HEAD: Final = b'{"queue_name":'

_compact = json.JSONEncoder(separators=(",", ":"))

#: What does not notice that it encodes what holds itself, until the stack is full.
_trusting = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def prepared(
    messages: Iterable[Message[Any] | MessageProxy],
    actors: Mapping[str, dramatiq.Actor[..., Any]],
) -> list[Message[Any]]:
    """Return *messages* as they will be stored: each under its own id, as of now.

    Raises:
        InvalidRequestError: An option is not what it is to be.
    """
    made, before, own = [], None, {}
    for message in messages:
        actor = actors.get(message.actor_name)
        if before != (actor, message.options):  # else what goes with it is the same
            of_actor = actor.options if actor else {}
            body = partial(_body, message, actor)
            own = options.chosen(message.options, of_actor, body)
            options.check(own)
            fixed = not options.need_body(of_actor)
            before = (actor, dict(message.options)) if fixed else None
        made.append(_prepared(message, own))
    return made


def _prepared(
    message: Message[Any] | MessageProxy, own: dict[str, Any]
) -> Message[Any]:
    kept = message.options | own
    kept["redis_message_id"] = message.message_id
    if "eta" in kept:
        del kept["eta"]
    # its class is frozen, and to make one by its own way takes four times as long
    made: Message[Any] = Message.__new__(Message)
    fields = vars(made)
    fields["queue_name"] = q_name(message.queue_name)
    fields["actor_name"] = message.actor_name
    fields["args"] = message.args
    fields["kwargs"] = message.kwargs
    fields["options"] = kept
    fields["message_id"] = message.message_id
    fields["message_timestamp"] = message.message_timestamp
    return made


def stored(
    messages: Sequence[Message[Any]], due: int | None, found_for_s: int
) -> list[Any]:
    """Return what the script is told to store *messages*, which are prepared.

    Args:
        messages: Those in a row that have most in common cost least.
        due: When they can run, in ms since the epoch; else at once.
        found_for_s: For how long a job can be found by what the host calls it.
    """
    arguments: list[Any] = [clock.now_ms(), MAX_EVENTS, "" if due is None else due]
    for common, alike in groupby(messages, partial(common_to, found_for_s)):
        run = list(alike)
        own = zip(
            (message.message_id for message in run),
            encode_all(run),
            (message.message_timestamp for message in run),
            strict=True,
        )
        arguments += [*common, len(run), *chain(*own)]
    return arguments


def common_to(found_for_s: int, message: Message[Any]) -> tuple[Any, ...]:
    """Return what the script that stores *message* is told of it and its likes."""
    wanted, find_by = message.options, message.options.get("find_by")
    priority = wanted.get("priority")
    return (
        message.queue_name,
        int(wanted.get("track") is not False),
        message.actor_name,
        DEFAULT_PRIORITY if priority is None else priority,
        _origin(message.actor_name, message.queue_name),
        wanted.get("group") or "",
        key_of(message),
        wanted.get("dedupe_for") or "",
        jobs.encode_index(find_by, found_for_s) if find_by else "",
    )


def own_to(message: Message[Any]) -> tuple[Any, ...]:
    """Return what the script that stores *message* is told of it alone."""
    return message.message_id, encode(message), message.message_timestamp


def key_of(message: Message[Any] | MessageProxy) -> str:
    """Return the key that the job may hold, as the scripts know it, or nothing."""
    key = message.options.get("dedupe_key")
    return f"{message.actor_name}:{key}" if key else ""


def encode(message: Message[Any]) -> bytes:
    """Return *message* as it is stored: as dramatiq does, whose way is longer."""
    if type(get_encoder()) is not JSONEncoder:  # the host has chosen another
        return message.encode()
    # the fields in the order that dramatiq's own messages have
    return _compact.encode(vars(message)).encode()


def encode_all(messages: Sequence[Message[Any]]) -> list[bytes]:
    """Return *messages* as `encode` does each, in two thirds of the time."""
    if type(get_encoder()) is JSONEncoder:
        with suppress(RecursionError):  # as `encode` says, too, or better
            text = _trusting.encode([vars(message) for message in messages]).encode()
            parts = text[len(_HEAD) + 1 : -2].split(b"}," + _HEAD)
            if len(parts) == len(messages):  # else one has the like in its arguments
                return [_HEAD + part + b"}" for part in parts]
    return [encode(message) for message in messages]


def _body(
    message: Message[Any] | MessageProxy, actor: dramatiq.Actor[..., Any] | None
) -> dict[str, Any]:
    """Return the arguments of a message by their names."""
    if not message.args or actor is None:
        return message.kwargs
    try:
        bound = inspect.signature(actor.fn).bind_partial(*message.args)
    except TypeError as error:
        raise InvalidRequestError(f"{message.actor_name}: {error}") from None
    return {**bound.arguments, **message.kwargs}


@lru_cache(maxsize=256)
def _origin(actor: str, queue: str) -> str:
    return json.dumps({"actor": actor, "queue": queue})
