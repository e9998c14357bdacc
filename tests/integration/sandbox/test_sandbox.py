from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.vendors.webhook import DEFAULT_SECRET
from nexus_actors.testing.sandbox import SandboxClient


Session = requests.Session


def deliver(
    sandbox: SandboxClient,
    id: str = "msg_1",
    *,
    body: str = '{"type": "order.paid"}',
    endpoint: str = "orders",
    age_s: float = 0,
    timeout: float = 10,
) -> requests.Response:
    """Send a message, signed as Standard Webhooks wants it."""
    sent = str(int(time.time() - age_s))
    key = base64.b64decode(DEFAULT_SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{sent}.{body}".encode(), hashlib.sha256)
    headers = {
        "webhook-id": id,
        "webhook-timestamp": sent,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    url = f"{sandbox.url}/webhook/{endpoint}"
    return requests.post(url, data=body.encode(), headers=headers, timeout=timeout)


def effects(sandbox: SandboxClient) -> list[str]:
    return [effect["id"] for effect in sandbox.truth()["webhook"]]


def test_a_message_takes_effect_once_however_often_it_arrives(
    nexus_sandbox: SandboxClient,
) -> None:
    answers = [deliver(nexus_sandbox).json() for _ in range(3)]

    assert [a["status"] for a in answers] == ["accepted", "duplicate", "duplicate"]
    (effect,) = nexus_sandbox.truth()["webhook"]
    assert effect["kind"] == "message"
    assert effect["request"] == 1
    assert effect["details"] == {
        "endpoint": "orders",
        "signed": ["v1"],
        "deliveries": 3,
        "body": {"type": "order.paid"},
    }


@pytest.mark.parametrize("body", ['"\\ud800"', "[" * 100_000, "{"])
def test_a_message_that_is_no_proper_json_is_kept_as_text(
    nexus_sandbox: SandboxClient, body: str
) -> None:
    assert deliver(nexus_sandbox, body=body).status_code == 200

    (effect,) = nexus_sandbox.truth()["webhook"]
    assert effect["details"]["body"] == body


def test_endpoints_do_not_share_their_ids(nexus_sandbox: SandboxClient) -> None:
    deliver(nexus_sandbox, endpoint="orders")
    deliver(nexus_sandbox, endpoint="invoices")

    assert effects(nexus_sandbox) == ["msg_1", "msg_1"]


def test_an_unsigned_message_is_logged_and_has_no_effect(
    nexus_sandbox: SandboxClient,
) -> None:
    answer = requests.post(f"{nexus_sandbox.url}/webhook/orders?a=b", "{}", timeout=10)

    assert answer.status_code == 401
    assert nexus_sandbox.truth()["webhook"] == []
    (seen,) = nexus_sandbox.requests()
    assert (seen["number"], seen["method"], seen["path"]) == (
        1,
        "POST",
        "/webhook/orders",
    )
    assert (seen["query"], seen["body"], seen["size"]) == ("a=b", "{}", 2)
    assert seen["status"] == 401
    assert "not signed" in seen["answer"]


def test_a_request_to_no_vendor_is_not_found_and_is_logged(
    nexus_sandbox: SandboxClient,
) -> None:
    answer = requests.get(f"{nexus_sandbox.url}/tiktak", timeout=10)

    assert answer.status_code == 404
    assert nexus_sandbox.requests()[0]["status"] == 404


@pytest.mark.parametrize(
    ("moment", "expected"), [("before", []), ("during", []), ("after", ["msg_1"])]
)
def test_an_answer_is_replaced_at_each_moment(
    nexus_sandbox: SandboxClient, moment: str, expected: list[str]
) -> None:
    nexus_sandbox.faults(
        {
            "action": "answer",
            "moment": moment,
            "status": 429,
            "headers": {"Retry-After": "7"},
            "body": {"error": "slow down"},
        }
    )

    answer = deliver(nexus_sandbox)

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer.json() == {"error": "slow down"}
    assert effects(nexus_sandbox) == expected
    assert nexus_sandbox.requests()[0]["fault"] == f"answer {moment}"
    assert deliver(nexus_sandbox).status_code == 200


@pytest.mark.parametrize(
    ("moment", "expected"), [("before", []), ("during", []), ("after", ["msg_1"])]
)
def test_a_connection_is_dropped_at_each_moment(
    nexus_sandbox: SandboxClient, moment: str, expected: list[str]
) -> None:
    nexus_sandbox.faults({"action": "drop", "moment": moment})

    with pytest.raises(requests.ConnectionError):
        deliver(nexus_sandbox)

    assert effects(nexus_sandbox) == expected
    assert nexus_sandbox.requests()[0]["status"] is None


@pytest.mark.parametrize(
    ("moment", "expected"), [("before", []), ("during", []), ("after", ["msg_1"])]
)
def test_a_time_out_comes_at_each_moment(
    nexus_sandbox: SandboxClient, moment: str, expected: list[str]
) -> None:
    nexus_sandbox.faults({"action": "hang", "moment": moment})

    with pytest.raises(requests.ReadTimeout):
        deliver(nexus_sandbox, timeout=0.3)

    assert effects(nexus_sandbox) == expected
    assert nexus_sandbox.fired() == [[1]]


def test_an_upload_is_broken_off_while_it_is_being_sent(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "drop", "moment": "during"})
    address = urlsplit(nexus_sandbox.url)

    with socket.create_connection((address.hostname, address.port), 10) as client:
        client.sendall(b"PUT /webhook/big HTTP/1.1\r\nHost: x\r\n")
        client.sendall(b"Content-Length: 1000\r\n\r\n" + b"x" * 600)
        try:
            rest = client.recv(100)
        except ConnectionResetError:
            rest = b""

    assert rest == b""
    assert nexus_sandbox.requests()[0]["size"] == 500


def test_a_corrupt_answer_is_no_json_and_the_effect_stays(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "corrupt"})

    answer = deliver(nexus_sandbox)

    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert effects(nexus_sandbox) == ["msg_1"]


def test_an_answer_is_cut_in_the_middle(nexus_sandbox: SandboxClient) -> None:
    nexus_sandbox.faults({"action": "cut"})

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        deliver(nexus_sandbox)

    assert effects(nexus_sandbox) == ["msg_1"]


def test_a_dripping_answer_takes_longer_than_the_read_time_out(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "drip", "seconds": 1})

    started = time.monotonic()
    answer = deliver(nexus_sandbox, timeout=0.8)

    assert answer.json() == {"status": "accepted"}
    assert time.monotonic() - started >= 0.9


@pytest.mark.parametrize(("moment", "expected"), [("before", []), ("after", ["msg_1"])])
def test_a_late_request_takes_effect_although_the_client_has_left(
    nexus_sandbox: SandboxClient, moment: str, expected: list[str]
) -> None:
    nexus_sandbox.faults({"action": "wait", "moment": moment, "seconds": 0.6})

    with pytest.raises(requests.ReadTimeout):
        deliver(nexus_sandbox, timeout=0.2)
    at_once = effects(nexus_sandbox)
    while nexus_sandbox.requests()[0]["took_ms"] is None:
        pass

    assert at_once == expected
    assert effects(nexus_sandbox) == ["msg_1"]


def test_what_is_valid_now_has_expired_when_the_clock_has_jumped(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "advance", "moment": "after", "seconds": 600})

    first, second = deliver(nexus_sandbox), deliver(nexus_sandbox, "msg_2")

    assert (first.status_code, second.status_code) == (200, 401)
    assert deliver(nexus_sandbox, "msg_2", age_s=-600).status_code == 200


def test_the_clock_is_set_by_hand(nexus_sandbox: SandboxClient) -> None:
    nexus_sandbox.set_clock(-3600)

    assert deliver(nexus_sandbox).status_code == 401
    assert deliver(nexus_sandbox, age_s=3600).status_code == 200


def test_a_script_that_makes_no_sense_is_refused_and_the_old_one_stays(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "answer", "status": 503})

    with pytest.raises(ValueError, match=r"^1: corrupt goes with after only$"):
        nexus_sandbox.faults(
            {"action": "drop"}, {"action": "corrupt", "moment": "before"}
        )

    assert deliver(nexus_sandbox).status_code == 503


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"webhok": {}}, "known: .*webhook"),
        ({"webhook": {"tolerance": 1}}, "tolerance"),
        ({"webhook": {"tolerance_s": "long"}}, "tolerance_s"),
        ({"webhook": 1}, "webhook"),
    ],
)
def test_settings_that_do_not_exist_are_refused(
    nexus_sandbox: SandboxClient, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        nexus_sandbox.settings(**settings)


def test_settings_hold_until_the_reset(nexus_sandbox: SandboxClient) -> None:
    nexus_sandbox.settings(webhook={"secrets": ["another secret"]})
    refused = deliver(nexus_sandbox)

    nexus_sandbox.reset()

    assert refused.status_code == 401
    assert nexus_sandbox.requests() == []
    assert deliver(nexus_sandbox).status_code == 200


def test_many_clients_at_once_have_one_effect_for_each_message(
    nexus_sandbox: SandboxClient,
) -> None:
    ids = [f"msg_{number % 10}" for number in range(100)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda id_: deliver(nexus_sandbox, id_), ids))

    assert sorted(effects(nexus_sandbox)) == sorted(set(ids))
    assert [r["number"] for r in nexus_sandbox.requests()] == list(range(1, 101))


def test_every_request_is_a_line_of_the_log_file(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"

    with running(Sandbox(log_file=log)) as url:
        sandbox = SandboxClient(url)
        deliver(sandbox)
        requests.get(f"{url}/nowhere", timeout=10)
        sandbox.close()

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["path"] for line in lines] == ["/webhook/orders", "/nowhere"]
    assert lines[0]["headers"]["webhook-id"] == "msg_1"


def test_the_sandbox_stops_at_once_although_requests_hang_and_wait() -> None:
    sandbox = Sandbox()

    with ThreadPoolExecutor(2) as pool:
        with running(sandbox) as url:
            client = SandboxClient(url)
            client.faults(
                {"action": "hang"},
                {"action": "wait", "moment": "before", "seconds": 60, "nth": 2},
            )
            pending = [
                pool.submit(requests.post, f"{url}/webhook/a", timeout=60)
                for _ in range(2)
            ]
            while not all(client.fired()):
                pass
            client.close()
            started = time.monotonic()
        stopped_after = time.monotonic() - started

    assert stopped_after < 5
    assert all(isinstance(p.exception(), requests.ConnectionError) for p in pending)
