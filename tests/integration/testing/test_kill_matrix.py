from __future__ import annotations

import sys

import pytest

import toy_flows
from nexus_actors.testing.kill_matrix import Case, Flow, KillMatrix, Truth, exactly_one
from nexus_actors.testing.sandbox import SandboxClient


def run(flow: Flow, sandbox: SandboxClient) -> list[Case]:
    return list(KillMatrix(flow, sandbox, exactly_one("webhook")).cases())


def failed(cases: list[Case]) -> set[tuple[str, str]]:
    return {(case.way, case.moment) for case in cases if case.complaint}


def test_a_right_flow_passes_in_every_case(nexus_sandbox: SandboxClient) -> None:
    command = [sys.executable, "-c", "import toy_flows; toy_flows.right()"]

    cases = run(command, nexus_sandbox)

    assert [(case.request, case.moment, case.way) for case in cases] == [
        (1, moment, way)
        for moment in ("before", "during", "after")
        for way in ("kill", "cut")
    ]
    assert {case.starts for case in cases} == {2}
    assert failed(cases) == set()


def test_a_double_send_is_found_after_the_effect(nexus_sandbox: SandboxClient) -> None:
    cases = run(toy_flows.new_id_for_each_attempt, nexus_sandbox)

    assert failed(cases) == {("kill", "after"), ("cut", "after")}
    assert {case.complaint for case in cases if case.complaint} == {
        "wanted exactly one effect at webhook, got {'webhook': 2}"
    }


def test_a_lost_send_is_found_before_the_effect(nexus_sandbox: SandboxClient) -> None:
    cases = run(toy_flows.told_before_it_is_sent, nexus_sandbox)

    before = {(way, m) for way in ("kill", "cut") for m in ("before", "during")}
    assert failed(cases) == before


def test_the_one_wrong_case_among_several_requests_is_found(
    nexus_sandbox: SandboxClient,
) -> None:
    def judge(truth: Truth) -> str | None:
        return None if len(truth["webhook"]) == 2 else "not two"

    flow = toy_flows.second_step_retries_at_once
    cases = list(KillMatrix(flow, nexus_sandbox, judge).cases())

    wrong = [(c.request, c.moment, c.way) for c in cases if c.complaint]
    assert len(cases) == 12
    assert wrong == [(2, "after", "cut")]


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        (toy_flows.silent, "got none"),
        (toy_flows.always_twice, "got {'webhook': 2}"),
        (["false"], "did not end well"),
    ],
)
def test_a_flow_that_is_wrong_undisturbed_is_no_flow(
    nexus_sandbox: SandboxClient, flow: Flow, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        run(flow, nexus_sandbox)


def test_a_flow_without_requests_proves_nothing(nexus_sandbox: SandboxClient) -> None:
    matrix = KillMatrix(toy_flows.silent, nexus_sandbox, lambda _: None)

    with pytest.raises(ValueError, match="makes no request"):
        matrix.failures()
