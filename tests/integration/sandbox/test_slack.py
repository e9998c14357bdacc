from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import DividerBlock, SectionBlock

from nexus_actors.testing.sandbox import SandboxClient


TOKEN = "xoxb-sandbox"
GENERAL, VIDEOS = "C0SANDBOX01", "C0SANDBOX02"
ANN = "U0SANDBOX01"
HOOK = "T0SANDBOX01/B0SANDBOX02/sandbox"


@pytest.fixture
def client(nexus_sandbox: SandboxClient) -> WebClient:
    url = f"{nexus_sandbox.url}/slack/api/"
    return WebClient(TOKEN, base_url=url, timeout=10, retry_handlers=[])


@pytest.fixture
def hook(nexus_sandbox: SandboxClient) -> WebhookClient:
    url = f"{nexus_sandbox.url}/slack/services/{HOOK}"
    return WebhookClient(url, timeout=10, retry_handlers=[])


def call(
    sandbox: SandboxClient,
    method: str,
    body: Any = None,
    *,
    token: str = TOKEN,
    kind: str | None = "application/json; charset=utf-8",
    **query: str,
) -> dict[str, Any]:
    """Call a method without the SDK; return its answer, which is no HTTP error."""
    data = json.dumps(body) if isinstance(body, dict) else body
    headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": kind or ""})
    answer = requests.post(
        f"{sandbox.url}/slack/api/{method}",
        data=data,
        headers={name: value for name, value in headers.items() if value},
        params=query,
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Slack-Req-Id"]
    told: dict[str, Any] = answer.json()
    return told


def post(sandbox: SandboxClient, **arguments: Any) -> dict[str, Any]:
    return call(sandbox, "chat.postMessage", {"channel": VIDEOS} | arguments)


def effects(sandbox: SandboxClient) -> list[dict[str, Any]]:
    return sandbox.truth()["slack"]


# the SDK


def test_the_sdk_posts_a_message_and_changes_it(
    nexus_sandbox: SandboxClient, client: WebClient
) -> None:
    blocks = [SectionBlock(text="*Transcoding* 40 %"), DividerBlock()]

    posted = client.chat_postMessage(channel="#videos", text="40 %", blocks=blocks)
    changed = client.chat_update(
        channel=posted["channel"], ts=posted["ts"], text="done", blocks=[]
    )

    assert posted["channel"] == VIDEOS
    assert posted["message"]["blocks"][0]["block_id"]
    assert changed["ts"] == posted["ts"]
    assert "blocks" not in changed["message"]
    first, second = effects(nexus_sandbox)
    assert (first["kind"], first["id"]) == ("message", posted["ts"])
    assert first["details"]["to"] == "#videos"
    assert first["details"]["text"] == "*Transcoding* 40 %\n\n---"
    assert first["details"]["message"]["text"] == "40 %"
    assert (second["kind"], second["id"]) == ("update", posted["ts"])
    assert second["details"]["text"] == "done"


def test_the_sdk_asks_whose_the_token_is(client: WebClient) -> None:
    answer = client.auth_test()

    assert answer["bot_id"] == "B0SANDBOX01"
    assert answer.headers["x-oauth-scopes"]


def test_a_person_is_written_to_in_a_conversation_of_their_own(
    nexus_sandbox: SandboxClient, client: WebClient
) -> None:
    channel = client.conversations_open(users=ANN)["channel"]["id"]

    opened = client.chat_postMessage(channel=channel, text="Hello")
    at_once = client.chat_postMessage(channel=ANN, text="Hello again")

    assert channel.startswith("D")
    assert opened["channel"] == at_once["channel"] == channel
    assert effects(nexus_sandbox)[0]["details"]["to"] == "ann"


def test_a_message_that_may_have_been_posted_is_found_by_its_metadata(
    nexus_sandbox: SandboxClient, client: WebClient
) -> None:
    metadata = {"event_type": "nexus_delivery", "event_payload": {"delivery_id": "d1"}}
    nexus_sandbox.faults({"action": "drop", "moment": "after"})

    with pytest.raises(ConnectionError):
        client.chat_postMessage(channel=VIDEOS, text="Hi", metadata=metadata)
    plain = client.conversations_history(channel=VIDEOS)
    whole = client.conversations_history(channel=VIDEOS, include_all_metadata=True)

    assert "metadata" not in plain["messages"][0]
    assert whole["messages"][0]["metadata"] == metadata
    assert len(effects(nexus_sandbox)) == 1


def test_what_is_sent_again_is_a_second_message(
    nexus_sandbox: SandboxClient, client: WebClient
) -> None:
    posted = [client.chat_postMessage(channel=VIDEOS, text="Hi") for _ in range(2)]

    assert posted[0]["ts"] < posted[1]["ts"]
    assert len(effects(nexus_sandbox)) == 2


def test_a_channel_takes_one_message_a_second_with_short_bursts(
    nexus_sandbox: SandboxClient, client: WebClient
) -> None:
    nexus_sandbox.settings(slack={"window_s": 60})
    for _ in range(5):
        client.chat_postMessage(channel=VIDEOS, text="Hi")

    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=VIDEOS, text="Hi")
    elsewhere = client.chat_postMessage(channel=GENERAL, text="Hi")
    wait = int(caught.value.response.headers["Retry-After"])
    nexus_sandbox.set_clock(wait)
    later = client.chat_postMessage(channel=VIDEOS, text="Hi")

    assert caught.value.response.status_code == 429
    assert caught.value.response["error"] == "ratelimited"
    assert 1 <= wait <= 60
    assert elsewhere["ok"]
    assert later["ok"]


def test_the_workspace_has_a_limit_of_its_own(
    nexus_sandbox: SandboxClient, client: WebClient
) -> None:
    nexus_sandbox.settings(slack={"per_workspace": 1})
    client.chat_postMessage(channel=VIDEOS, text="Hi")

    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=GENERAL, text="Hi")

    assert int(caught.value.response.headers["Retry-After"]) > 5


# who may


@pytest.mark.parametrize(
    ("token", "settings", "error"),
    [
        ("", {}, "not_authed"),
        ("xoxb-other", {}, "invalid_auth"),
        (TOKEN, {"revoked_tokens": [TOKEN]}, "token_revoked"),
        (TOKEN, {"expired_tokens": [TOKEN]}, "token_expired"),
        (TOKEN, {"inactive_tokens": [TOKEN]}, "account_inactive"),
        (TOKEN, {"scopes": ["im:write"]}, "missing_scope"),
    ],
)
def test_a_token_that_is_not_right_is_refused(
    nexus_sandbox: SandboxClient, token: str, settings: dict[str, Any], error: str
) -> None:
    nexus_sandbox.settings(slack=settings)
    body = {"channel": VIDEOS, "text": "Hi"}

    answer = call(nexus_sandbox, "chat.postMessage", body, token=token)

    assert (answer["ok"], answer["error"]) == (False, error)
    assert effects(nexus_sandbox) == []
    if error == "missing_scope":
        assert (answer["needed"], answer["provided"]) == ("chat:write", "im:write")


def test_a_token_may_stand_in_the_form(nexus_sandbox: SandboxClient) -> None:
    answer = call(
        nexus_sandbox,
        "auth.test",
        f"token={TOKEN}",
        token="",
        kind="application/x-www-form-urlencoded",
    )

    assert answer["ok"]


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ({"archived": True}, "is_archived"),
        ({"member": False}, "not_in_channel"),
        ({"error": "restricted_action"}, "restricted_action"),
    ],
)
def test_a_channel_may_be_closed_to_the_app(
    nexus_sandbox: SandboxClient, channel: dict[str, Any], error: str
) -> None:
    nexus_sandbox.settings(slack={"channels": {VIDEOS: {"name": "videos"} | channel}})

    assert post(nexus_sandbox, text="Hi")["error"] == error


def test_a_channel_or_a_person_that_there_is_not_is_not_found(
    nexus_sandbox: SandboxClient,
) -> None:
    errors = [
        post(nexus_sandbox, channel="C0NOWHERE01", text="Hi")["error"],
        post(nexus_sandbox, channel="#nowhere", text="Hi")["error"],
        call(nexus_sandbox, "conversations.open", {"users": "U1"})["error"],
        call(nexus_sandbox, "conversations.open", {"users": ""})["error"],
        call(nexus_sandbox, "conversations.history", channel="C1")["error"],
    ]

    assert errors == [
        "channel_not_found",
        "channel_not_found",
        "user_not_found",
        "users_list_not_supplied",
        "channel_not_found",
    ]


# what is refused


def section(text: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "no_text"),
        ({"text": " "}, "no_text"),
        ({"text": "a", "markdown_text": "b"}, "markdown_text_conflict"),
        ({"channel": ""}, "invalid_arguments"),
        ({"text": "a", "blocks": "[{"}, "invalid_blocks_format"),
        ({"text": "a", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"text": "a", "blocks": [7]}, "invalid_blocks_format"),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "poster"}]}, "invalid_blocks"),
        ({"blocks": [{"type": ["x"]}]}, "invalid_blocks"),
        ({"blocks": [section("")]}, "invalid_blocks"),
        ({"blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": "x"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
        (
            {"blocks": [{"type": "section", "fields": [{"text": "x" * 2001}]}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "section", "fields": [{"text": "x"}] * 11}]},
            "invalid_blocks",
        ),
        (
            {
                "blocks": [
                    {
                        "type": "header",
                        "text": {"type": "plain_text", "text": "x" * 151},
                    }
                ]
            },
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
            "invalid_blocks",
        ),
        ({"blocks": [{"type": "actions", "elements": [{}] * 26}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{"type": "image", "image_url": "x"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "divider", "block_id": "x" * 256}]}, "invalid_blocks"),
        ({"blocks": [{"type": "divider", "block_id": "x"}] * 2}, "invalid_blocks"),
        ({"blocks": [section("x" * 3000)] * 5}, "msg_blocks_too_long"),
        ({"text": "a", "attachments": [{}] * 101}, "too_many_attachments"),
        ({"text": "a", "attachments": "x"}, "invalid_attachments"),
        ({"text": "a", "metadata": "{"}, "invalid_metadata_format"),
        ({"text": "a", "metadata": [1]}, "invalid_metadata_format"),
        ({"text": "a", "metadata": {"event_type": "x"}}, "invalid_metadata_schema"),
        (
            {
                "text": "a",
                "metadata": {"event_type": "x", "event_payload": {"a": "b" * 9000}},
            },
            "metadata_too_large",
        ),
        ({"text": "a", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"text": "a", "a-b": "c"}, "invalid_arg_name"),
        ({"text": "a", "a[0]": "c"}, "invalid_array_arg"),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_with_its_code(
    nexus_sandbox: SandboxClient, arguments: dict[str, Any], error: str
) -> None:
    answer = post(nexus_sandbox, **arguments)

    assert (answer["ok"], answer["error"]) == (False, error)
    assert effects(nexus_sandbox) == []


def test_blocks_that_are_refused_are_named(nexus_sandbox: SandboxClient) -> None:
    answer = post(nexus_sandbox, blocks=[{"type": "divider"}, section("x" * 3001)])

    problem = "must be less than 3001 characters [json-pointer:/blocks/1/text/text]"
    assert answer["errors"] == [problem]
    assert answer["response_metadata"]["messages"] == [f"[ERROR] {problem}"]


def test_a_long_text_is_cut_with_a_warning(nexus_sandbox: SandboxClient) -> None:
    answer = post(nexus_sandbox, text="x" * 40_001)

    assert answer["warning"] == "message_truncated"
    assert len(answer["message"]["text"]) == 40_000


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ("{", "application/json; charset=utf-8", "invalid_json"),
        ("[1]", "application/json; charset=utf-8", "json_not_object"),
        ("{}", "application/json; charset=utf-7", "invalid_charset"),
        ("{}", "text/plain", "invalid_post_type"),
        ("{}", None, "missing_post_type"),
        ("x", "multipart/form-data; boundary=x", "invalid_form_data"),
    ],
)
def test_a_request_of_the_wrong_kind_is_refused(
    nexus_sandbox: SandboxClient, body: str, kind: str | None, error: str
) -> None:
    answer = call(nexus_sandbox, "chat.postMessage", body, kind=kind)

    assert answer["error"] == error


def test_json_without_a_charset_is_taken_with_a_warning(
    nexus_sandbox: SandboxClient,
) -> None:
    body = {"channel": VIDEOS, "text": "Hi"}

    answer = call(nexus_sandbox, "chat.postMessage", body, kind="application/json")

    assert answer["ok"]
    assert answer["response_metadata"]["warnings"] == ["missing_charset"]


def test_a_form_has_its_blocks_as_text(nexus_sandbox: SandboxClient) -> None:
    form = urlencode({"channel": VIDEOS, "blocks": json.dumps([section("Hi")])})

    answer = call(
        nexus_sandbox,
        "chat.postMessage",
        form,
        kind="application/x-www-form-urlencoded",
    )

    assert answer["message"]["blocks"][0]["text"]["text"] == "Hi"


def test_a_method_that_only_reads_takes_no_json(nexus_sandbox: SandboxClient) -> None:
    answer = call(nexus_sandbox, "conversations.history", {"channel": VIDEOS})

    assert answer["error"] == "invalid_arguments"
    assert answer["errors"] == ["missing required field: channel"]


def test_a_method_that_there_is_not_is_unknown(nexus_sandbox: SandboxClient) -> None:
    answer = call(nexus_sandbox, "chat.postMassage", {})

    assert (answer["error"], answer["req_method"]) == (
        "unknown_method",
        "chat.postMassage",
    )


def test_no_message_however_odd_breaks_the_server(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.settings(slack={"per_channel": 1000})
    chance = random.Random(7)
    odd: list[Any] = [None, True, 7, -1.5, "", "x", [], [[]], {}, [None], 10**400]
    whole: Any = {
        "text": "Hi",
        "blocks": [section("a"), {"type": "actions", "elements": [{"type": "button"}]}],
        "attachments": [{"text": "x"}],
        "metadata": {"event_type": "x", "event_payload": {"a": [1]}},
        "thread_ts": "",
        "channel": VIDEOS,
    }

    for _ in range(80):
        arguments = json.loads(json.dumps(whole))
        node, key = arguments, chance.choice(list(arguments))
        while (
            isinstance(node[key], dict | list) and node[key] and chance.random() < 0.8
        ):
            node = node[key]
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = chance.choice(keys)
        node[key] = chance.choice(odd)
        assert "ok" in post(nexus_sandbox, **arguments)

    nexus_sandbox.truth()


# what stands in a channel


def test_the_history_is_the_latest_first_and_without_answers_in_threads(
    nexus_sandbox: SandboxClient, client: WebClient
) -> None:
    posted = [
        client.chat_postMessage(channel=VIDEOS, text=str(number))["ts"]
        for number in range(3)
    ]
    client.chat_postMessage(channel=VIDEOS, text="answer", thread_ts=posted[0])

    def texts(**arguments: Any) -> list[str]:
        found = client.conversations_history(channel=VIDEOS, **arguments)
        return [message["text"] for message in found["messages"]]

    assert texts() == ["2", "1", "0"]
    assert texts(limit=2) == ["2", "1"]
    assert client.conversations_history(channel=VIDEOS, limit=2)["has_more"]
    assert texts(oldest=posted[0]) == ["2", "1"]
    assert texts(oldest=posted[0], inclusive=True) == ["2", "1", "0"]
    assert texts(latest=posted[2]) == ["1", "0"]
    wrong = call(nexus_sandbox, "conversations.history", channel=VIDEOS, oldest="x")
    assert wrong["error"] == "invalid_ts_latest"
    wrong = call(nexus_sandbox, "conversations.history", channel=VIDEOS, limit="0")
    assert wrong["error"] == "invalid_limit"


@pytest.mark.parametrize(
    ("later_s", "settings", "error"),
    [(0, {}, "message_not_found"), (61, {"edit_window_s": 60}, "edit_window_closed")],
)
def test_a_message_cannot_be_changed_that_is_not_there_or_too_old(
    nexus_sandbox: SandboxClient, later_s: float, settings: dict[str, Any], error: str
) -> None:
    nexus_sandbox.settings(slack=settings)
    ts = post(nexus_sandbox, text="Hi")["ts"]
    nexus_sandbox.set_clock(later_s)
    wanted = ts if settings else "1.000001"

    answer = call(
        nexus_sandbox,
        "chat.update",
        {"channel": VIDEOS, "ts": wanted, "text": "Hello"},
    )

    assert answer["error"] == error


def test_blocks_that_an_update_does_not_name_stay(client: WebClient) -> None:
    posted = client.chat_postMessage(channel=VIDEOS, text="a", blocks=[section("old")])

    changed = client.chat_update(channel=VIDEOS, ts=posted["ts"], text="new")

    assert changed["message"]["text"] == "new"
    assert changed["message"]["blocks"][0]["text"]["text"] == "old"


# incoming webhooks


def test_the_sdk_posts_by_an_incoming_webhook(
    nexus_sandbox: SandboxClient, hook: WebhookClient
) -> None:
    answer = hook.send(text="Hi", blocks=[SectionBlock(text="*Hi*")])

    assert (answer.status_code, answer.body) == (200, "ok")
    (effect,) = effects(nexus_sandbox)
    assert effect["details"]["to"] == "#videos"
    assert effect["details"]["text"] == "*Hi*"
    ts = effect["details"]["message"]["ts"]
    changed = call(
        nexus_sandbox, "chat.update", {"channel": VIDEOS, "ts": ts, "text": "x"}
    )
    assert changed["error"] == "cant_update_message"


@pytest.mark.parametrize(
    ("channel", "status", "error"),
    [
        ({"archived": True}, 410, "channel_is_archived"),
        ({"error": "action_prohibited"}, 403, "action_prohibited"),
        (
            {"error": "posting_to_general_channel_denied"},
            403,
            "posting_to_general_channel_denied",
        ),
    ],
)
def test_a_webhook_tells_in_plain_text_what_is_wrong_with_its_channel(
    nexus_sandbox: SandboxClient,
    hook: WebhookClient,
    channel: dict[str, Any],
    status: int,
    error: str,
) -> None:
    nexus_sandbox.settings(slack={"channels": {VIDEOS: {"name": "videos"} | channel}})

    answer = hook.send(text="Hi")

    assert (answer.status_code, answer.body) == (status, error)


def test_a_webhook_is_refused_that_was_removed_or_says_nothing(
    nexus_sandbox: SandboxClient, hook: WebhookClient
) -> None:
    nothing = hook.send(text="")
    blocks = hook.send(text="x", blocks=[{"type": "poster"}])
    broken = requests.post(hook.url, "{", timeout=10)
    form = requests.post(hook.url, {"payload": '{"text": "Hi"}'}, timeout=10)
    nexus_sandbox.settings(slack={"webhooks": {HOOK: "C0NOWHERE01"}})
    nowhere = hook.send(text="Hi")
    nexus_sandbox.settings(slack={"webhooks": {}})
    removed = hook.send(text="Hi")

    assert (nothing.status_code, nothing.body) == (400, "no_text")
    assert (blocks.status_code, blocks.body) == (400, "invalid_blocks")
    assert (broken.status_code, broken.text) == (400, "invalid_payload")
    assert (form.status_code, form.text) == (200, "ok")
    assert (nowhere.status_code, nowhere.body) == (404, "channel_not_found")
    assert (removed.status_code, removed.body) == (404, "no_service")


def test_a_webhook_is_limited_like_its_channel(
    nexus_sandbox: SandboxClient, hook: WebhookClient
) -> None:
    nexus_sandbox.settings(slack={"per_channel": 1, "window_s": 60})

    hook.send(text="Hi")
    answer = hook.send(text="Hi")

    assert (answer.status_code, answer.body) == (429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
