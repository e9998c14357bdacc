"""What releases have written: messages, results, and the records of jobs and events.

A file is ``golden/<release>/<kind>/<subject>/<case>.json``.  Of a message its author
writes the ``call`` and, if it has some, its ``options``; of a record the ``id`` and
what is ``stored``.  What they were made into is added by ``make golden`` to the files
of the release in the making, where it is missing and nowhere else.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, get_args

import dramatiq
from dramatiq import Message
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from nexus_actors import CoreSettings, RedisBroker, events, jobs
from nexus_actors.app import actors_of
from nexus_actors.engine.actor import Actor
from nexus_actors.engine.embedded_redis import embedded_redis


FOLDER: Final = Path(__file__).parent / "golden"

#: The release in the making.
CURRENT: Final = re.match(r"[\d.]+\d", version("nexus-actors"))[0]  # type: ignore[index] # a version begins so

#: What a message has of its own each time that it is sent.
UNIQUE: Final = ("message_id", "message_timestamp")
UNIQUE_OPTIONS: Final = ("redis_message_id", "eta", "release")

ACTORS: Final = {actor.actor_name: actor for actor in actors_of()}


@dataclass(frozen=True, slots=True)
class Golden:
    """One file, and what its place says of it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(FOLDER).with_suffix(""))

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(map(int, self.path.parts[-4].split(".")))

    @property
    def subject(self) -> str:
        return self.path.parts[-2]

    def read(self) -> Any:
        return json.loads(self.path.read_text("utf-8"))


def goldens(kind: str) -> list[Golden]:
    """Return the files of a kind, of all releases."""
    return [Golden(path) for path in sorted(FOLDER.glob(f"*/{kind}/*/*.json"))]


def newest(kind: str) -> list[Golden]:
    """Return of each case the file of the newest release that has one."""
    by_age = sorted(goldens(kind), key=lambda golden: golden.release)
    return list({(g.subject, g.path.name): g for g in by_age}.values())


# How things are written and read today.


def sent(golden: dict[str, Any], actor: Actor[..., Any], broker: RedisBroker) -> Any:
    """Send a message; return it as it lies in Redis."""
    broker.client.flushdb()  # the job of an earlier one may hold its key
    options = golden.get("options", {})
    message = actor.send_with_options(kwargs=golden["call"], **options)
    hashes: Any = broker.client.keys(f"{broker.namespace}:*.msgs")
    stored = [value for key in hashes for value in broker.client.hvals(key)]
    found = [json.loads(value) for value in stored]
    return next(m for m in found if m["message_id"] == message.message_id)


def decoded(message: dict[str, Any]) -> Message[Any]:
    """Read a message as a worker does."""
    return Message.decode(json.dumps(message).encode())


def request_of(actor: Actor[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the values that a worker reads from the body of a message."""
    body = actor.parse(args, kwargs)
    return model_of(actor).model_validate(body).model_dump(mode="json")


def shown(subject: str, golden: dict[str, Any], broker: RedisBroker) -> dict[str, Any]:
    """Return what a host is shown of a stored record."""
    client: Any = broker.client
    key = broker.namespace
    if subject == "events":
        client.delete(f"{key}:events")  # what comes later would be refused
        client.xadd(f"{key}:events", golden["stored"], id=golden["id"])
        [event] = events.listen(since="0", wait=False, broker=broker)
        return event.to_json()
    client.delete(f"{key}:job:{golden['id']}")
    client.hset(f"{key}:job:{golden['id']}", mapping=golden["stored"])
    record = jobs.get(golden["id"], broker=broker)
    assert record
    return record.to_json()


# Which names a model knows, and which of them are used.


def model_of(actor: Actor[..., Any], suffix: str = "Request") -> type[BaseModel]:
    """Return the model of an actor's messages, or that of its ``Result``."""
    module, _, name = actor._request.partition(":")  # noqa: SLF001 - no public name
    name = name.removesuffix("Request") + suffix
    found: type[BaseModel] = getattr(import_module(module), name)
    return found


def names_of(name: str, field: FieldInfo) -> set[str]:
    """Return the names that a field is accepted by."""
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return {name, *(n for n in names if isinstance(n, str))}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def known_names(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Yield every name of every field, as dotted paths."""
    for name, field in model.model_fields.items():
        # a name of its own is the one that is written; others are only accepted
        known = {field.alias} if field.alias else names_of(name, field)
        yield from (f"{path}{each}" for each in known)
        for inner in models_in(field.annotation):
            yield from known_names(inner, f"{path}{name}.")


def used_names(model: type[BaseModel], value: Any, path: str = "") -> Iterator[str]:
    """Yield those of `known_names` that stand in *value*."""
    for item in value if isinstance(value, list) else [value]:
        for name, field in model.model_fields.items() if isinstance(item, dict) else ():
            for used in names_of(name, field) & item.keys():
                yield path + used
                for inner in models_in(field.annotation):
                    yield from used_names(inner, item[used], f"{path}{name}.")


def complete(golden: Golden, broker: RedisBroker) -> bool:
    """Add what is missing to a file of the release in the making; tell if it was."""
    content = golden.read()
    if golden.path.parts[-4] != CURRENT:
        return False
    if content.keys() - {"options"} == {"call"}:
        actor = ACTORS[golden.subject]
        content["message"] = sent(content, actor, broker)
        content["request"] = request_of(actor, **content["call"])
    elif content.keys() == {"id", "stored"}:
        content["shown"] = shown(golden.subject, content, broker)
    else:
        return False
    text = json.dumps(content, indent=2, ensure_ascii=False)
    golden.path.write_text(f"{text}\n", encoding="utf-8")
    return True


def main() -> None:
    """Complete all files, and name those to which something was added."""
    with tempfile.TemporaryDirectory() as folder, embedded_redis(Path(folder)) as redis:
        broker = RedisBroker(CoreSettings.load({"redis_url": redis.url}))
        dramatiq.set_broker(broker)
        for golden in [*goldens("messages"), *goldens("records")]:
            if complete(golden, broker):
                print(golden)  # noqa: T201 - a command
        broker.close()
        from golden_states import make

        broker.client.flushdb()
        make(redis.url, Path(folder))


if __name__ == "__main__":
    main()
