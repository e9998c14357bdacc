from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nexus_actors.sandbox.faults import Fault, FaultScript, read_faults


def fired(script: FaultScript, *requests: str) -> list[str | None]:
    """Return the action that meets each request."""
    met = [script.meet(*request.split(" ")) for request in requests]
    return [entry.fault.action if entry else None for entry in met]


def test_a_fault_meets_the_requests_from_nth_on_as_often_as_it_says() -> None:
    script = FaultScript([Fault(action="drop", nth=2, times=2)])

    assert fired(script, *["GET /a"] * 4) == [None, "drop", "drop", None]


def test_a_fault_without_an_end_goes_on() -> None:
    script = FaultScript([Fault(action="drop", nth=2, times=None)])

    assert fired(script, *["GET /a"] * 4) == [None, "drop", "drop", "drop"]


def test_only_requests_of_the_route_are_counted() -> None:
    script = FaultScript([Fault(action="drop", route="POST /webhook/*", nth=2)])

    requests = ["POST /webhook/a", "GET /webhook/a", "POST /mail", "POST /webhook/b"]
    assert fired(script, *requests) == [None, None, None, "drop"]


def test_of_two_faults_that_meet_one_request_the_first_acts() -> None:
    script = FaultScript([Fault(action="hang"), Fault(action="drop", times=2)])

    assert fired(script, "GET /a", "GET /a") == ["hang", "drop"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"action": "explode"}, "action"),
        ({"action": "drop", "moment": "never"}, "moment"),
        ({"action": "drop", "nth": 0}, "nth"),
        ({"action": "drop", "path": "/"}, "path"),
        ({"action": "corrupt", "moment": "before"}, "after only"),
        ({"action": "wait"}, "needs seconds"),
        ({"action": "drop", "seconds": 1}, "takes no seconds"),
        ({"action": "answer", "status": 9}, "status"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(
    fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        Fault.model_validate(fields)


def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('[{"action": "corrupt"}, {"action": "drop"}]')

    assert [fault.moment for fault in read_faults(file)] == ["after", "before"]
