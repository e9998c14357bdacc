"""What a release has written, every later one reads; see `goldens`."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from dramatiq.common import q_name

from conftest import ROOT
from goldens import (
    ACTORS,
    CURRENT,
    UNIQUE,
    UNIQUE_OPTIONS,
    Golden,
    complete,
    decoded,
    goldens,
    known_names,
    model_of,
    names_of,
    newest,
    request_of,
    sent,
    shown,
    used_names,
)
from nexus_actors import RedisBroker
from nexus_actors.core.models import Model
from nexus_actors.engine.jobs import JobRecord


HOW = f"see 'Golden files' in CONTRIBUTING.md; the release in the making is {CURRENT}"


def keeps(new: Any, old: Any) -> bool:
    """Tell whether all of *old* is in *new*, which may have more names."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and keeps(new[name], old[name]) for name in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(keeps, new, old))
    return type(old) is type(new) and bool(old == new)


def without_unique(message: dict[str, Any]) -> dict[str, Any]:
    options = {k: v for k, v in message["options"].items() if k not in UNIQUE_OPTIONS}
    plain = {name: value for name, value in message.items() if name not in UNIQUE}
    return plain | {"options": options}


# Messages


@pytest.mark.parametrize("golden", goldens("messages"), ids=str)
def test_a_message_of_any_release_is_read_as_it_was_meant(golden: Golden) -> None:
    content = golden.read()
    made = content.keys() - {"options"}
    assert made == {"call", "message", "request"}, f"run: make golden; {HOW}"
    message = decoded(content["message"])

    actor = ACTORS[message.actor_name]
    read = request_of(actor, *message.args, **message.kwargs)

    assert keeps(read, content["request"])
    assert keeps(request_of(actor, **content["call"]), content["request"])
    assert q_name(message.queue_name) == actor.queue_name
    inspect.signature(actor.fn).bind(**actor.parse(message.args, message.kwargs))


@pytest.mark.parametrize("golden", newest("messages"), ids=str)
def test_a_message_is_written_as_its_newest_file_says(
    golden: Golden, broker: RedisBroker
) -> None:
    content, actor = golden.read(), ACTORS[golden.subject]

    written = sent(content, actor, broker)

    assert without_unique(written) == without_unique(content["message"]), HOW


@pytest.mark.parametrize("name", ACTORS)
def test_every_name_of_every_field_of_an_actor_is_in_a_message(name: str) -> None:
    calls = [g.read()["call"] for g in newest("messages") if g.subject == name]
    model = model_of(ACTORS[name])

    used = {path for call in calls for path in used_names(model, call)}

    assert set(known_names(model)) - used == set(), f"in no call of {name}: {HOW}"


# Results


@pytest.mark.parametrize("golden", goldens("results"), ids=str)
def test_a_result_of_any_release_still_has_its_names_and_values(golden: Golden) -> None:
    old, model = golden.read(), model_of(ACTORS[golden.subject], "Result")
    assert issubclass(model, Model)

    read = model.model_validate(old).to_json()

    assert keeps(read, old)


@pytest.mark.parametrize("name", ACTORS)
def test_every_field_of_an_actors_result_is_in_a_file(name: str) -> None:
    results = [g.read() for g in newest("results") if g.subject == name]
    model = model_of(ACTORS[name], "Result")

    used = {path for result in results for path in used_names(model, result)}

    assert set(known_names(model)) - used == set(), f"in no result of {name}: {HOW}"


# Records of jobs and events


@pytest.mark.parametrize("golden", goldens("records"), ids=str)
def test_a_stored_record_of_any_release_is_shown_as_ever(
    golden: Golden, broker: RedisBroker
) -> None:
    content = golden.read()
    assert content.keys() == {"id", "stored", "shown"}, f"run: make golden; {HOW}"

    read = shown(golden.subject, content, broker)

    assert keeps(read, content["shown"])


def test_every_field_of_a_job_is_in_a_file() -> None:
    found = [g.read()["shown"] for g in newest("records") if g.subject == "jobs"]

    assert {*JobRecord.__dataclass_fields__} == {name for job in found for name in job}


def test_every_event_of_the_reference_is_in_a_file() -> None:
    page = (ROOT / "docs" / "reference" / "events.md").read_text("utf-8")
    told = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))

    found = [g.read()["shown"] for g in newest("records") if g.subject == "events"]

    assert told
    assert told <= {event["event"] for event in found}


# The rules themselves


def test_what_is_kept_may_have_more_names_and_nothing_else() -> None:
    old = {"a": 1, "b": [{"c": None}]}

    assert keeps({"a": 1, "b": [{"c": None, "d": 2}], "e": 3}, old)
    assert not keeps({"a": 1}, old)
    assert not keeps({"a": True, "b": [{"c": None}]}, old)
    assert not keeps({"a": 1, "b": [{"c": 0}]}, old)
    assert not keeps({"a": 1, "b": []}, old)


def written(folder: Path, content: dict[str, Any], release: str = CURRENT) -> Golden:
    path = folder / release / "messages" / "video.process_video" / "case.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return Golden(path)


def test_a_call_is_completed_once_and_never_again(
    tmp_path: Path, broker: RedisBroker
) -> None:
    golden = written(tmp_path, {"call": {"videoId": "v", "inputPath": "/v.mp4"}})

    assert complete(golden, broker)
    made = golden.path.read_text()
    assert not complete(golden, broker)

    assert golden.path.read_text() == made
    content = golden.read()
    assert content["message"]["kwargs"] == {"video_id": "v", "input_path": "/v.mp4"}
    assert content["request"]["options"]["thumbnails"] is True


def test_a_file_of_a_release_that_is_out_is_left_as_it_is(
    tmp_path: Path, broker: RedisBroker
) -> None:
    content = {"call": {"video_id": "v", "input_path": "/v.mp4"}}
    golden = written(tmp_path, content, release="0.0.1")

    assert not complete(golden, broker)
    assert golden.read() == content


def test_both_spellings_of_a_name_are_asked_for() -> None:
    model = model_of(ACTORS["video.process_video"])

    assert names_of("video_id", model.model_fields["video_id"]) == {
        "video_id",
        "videoId",
    }
    assert {"options.formats", "videoId"} <= set(known_names(model))
