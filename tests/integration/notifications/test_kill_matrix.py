"""Killed, or cut off, at any moment: one delivery, or what the policy says."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

import notice_flows
from nexus_actors.testing.kill_matrix import Judge, KillMatrix, Truth, exactly_one
from nexus_actors.testing.sandbox import SandboxClient
from scale import full


def at_most_one(vendor: str) -> Judge:
    """Of a vendor that cannot be asked, where the policy is never to repeat."""

    def judge(truth: Truth) -> str | None:
        count = len(truth[vendor])
        return None if count <= 1 else f"{count} effects"

    return judge


def at_least_one(vendor: str) -> Judge:
    """Of a vendor that cannot be asked, where the policy is to repeat."""

    def judge(truth: Truth) -> str | None:
        count = len(truth[vendor])
        return None if count in {1, 2} else f"{count} effects"

    return judge


def replaced(truth: Truth) -> str | None:
    """Of a push: a device shows one, since each repeat has the same tag."""
    tags = {
        effect["details"]["message"]["android"]["notification"]["tag"]
        for effect in truth["fcm"]
    }
    return None if len(tags) == 1 else f"{len(tags)} on the device"


@pytest.mark.parametrize(
    ("flow", "judge"),
    [
        pytest.param(notice_flows.slack, exactly_one("slack"), id="slack"),
        pytest.param(
            notice_flows.email, at_most_one("sendgrid"), id="email never", marks=full
        ),
        pytest.param(
            notice_flows.email_again,
            at_least_one("sendgrid"),
            id="email again",
            marks=full,
        ),
        pytest.param(notice_flows.sms, exactly_one("twilio"), id="sms", marks=full),
        pytest.param(notice_flows.push, replaced, id="push", marks=full),
        pytest.param(
            notice_flows.webhook, exactly_one("webhook"), id="webhook", marks=full
        ),
    ],
)
def test_killed_or_cut_off_at_any_moment_it_ends_as_the_policy_says(
    flow: Callable[[], None], judge: Judge, nexus_sandbox: SandboxClient
) -> None:
    matrix = KillMatrix(flow, nexus_sandbox, judge, environ=dict(os.environ))

    cases = list(matrix.cases())

    assert len(cases) % 6 == 0
    assert not [case for case in cases if case.complaint]
