"""Who gets in, who may act, and that no other site acts in their name."""

from __future__ import annotations

import re

import pytest
import requests
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dashboards import PAGES, PLANTED, Serve, Visitor, serving
from nexus_actors import queues
from nexus_actors.dashboard import Access, Dashboard
from nexus_actors.dashboard.gate import COOKIE, MOST_BYTES, asks_for


pytestmark = pytest.mark.usefixtures("broker")

#: All that can be asked for, what is not there included.
PATHS = (
    *PAGES,
    *("/static/dashboard.js", "/static/dashboard.css", "/do", "/no-such-page"),
    *("/jobs/1", "/dead/letter?id=1", "/publications/1", "/queues/1"),
)


@pytest.fixture
def asked() -> list[str]:
    return []


def test_nothing_is_answered_without_the_consent_of_the_hook(
    serve_dashboard: Serve, asked: list[str]
) -> None:
    def refuse(request: Request) -> Access:
        asked.append(request.url.path)
        return Access.NONE

    queues.pause("tests")
    url = serve_dashboard(authorize=refuse)
    methods = ("GET", "HEAD", "POST", "PUT", "OPTIONS")

    answers = [
        requests.request(method, url + path, data={"action": "resume"}, timeout=30)
        for path in PATHS
        for method in methods
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert {answer.text for answer in answers} == {
        "",
        "You may not see this dashboard.\n",
    }
    assert len(asked) == len(PATHS) * len(methods)
    assert queues.is_paused("tests")


async def _slowly(_: Request) -> Access:
    return Access.READ


class Session:
    """A hook that is an object, and asynchronous."""

    async def __call__(self, request: Request) -> Access:
        return Access.READ if request.cookies.get("user") == "ann" else Access.NONE


@pytest.mark.parametrize("hook", [lambda _: Access.READ, _slowly, Session()])
def test_a_hook_may_be_of_any_kind_and_who_may_only_look_changes_nothing(
    serve_dashboard: Serve, hook: object
) -> None:
    queues.pause("tests")
    visitor = Visitor(serve_dashboard(authorize=hook))
    visitor.session.cookies.set("user", "ann")

    for path in PAGES:
        page = visitor.get(path)
        assert page.status_code == 200
        assert 'action="' in page.text
        assert 'method="post"' not in page.text
        assert "read only" in page.text
    fields = {"token": visitor.session.cookies[COOKIE], "action": "resume"}
    refused = visitor.post(fields | {"queue": "tests"})

    assert refused.status_code == 403
    assert queues.is_paused("tests")


def test_read_only_means_everybody(serve_dashboard: Serve) -> None:
    queues.pause("tests")
    visitor = Visitor(serve_dashboard(read_only=True))

    visitor.get()
    fields = {"token": visitor.session.cookies[COOKIE], "action": "resume"}

    assert visitor.post(fields | {"queue": "tests"}).status_code == 403
    assert queues.is_paused("tests")


def _broken(_: Request) -> Access:
    raise RuntimeError(PLANTED)


@pytest.mark.parametrize("hook", [_broken, lambda _: True, lambda _: None])
def test_a_hook_that_fails_or_says_what_means_nothing_lets_nobody_in(
    serve_dashboard: Serve, hook: object
) -> None:
    answer = requests.get(serve_dashboard(authorize=hook), timeout=30)

    assert answer.status_code == 500
    assert answer.text == "Internal Server Error"


def test_a_hook_may_lead_to_a_login(serve_dashboard: Serve) -> None:
    def authorize(_: Request) -> Access:
        raise HTTPException(303, headers={"Location": "/login"})

    answer = requests.get(
        serve_dashboard(authorize=authorize), timeout=30, allow_redirects=False
    )

    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")


def test_a_password_is_asked_for(serve_dashboard: Serve) -> None:
    url = serve_dashboard(authorize=asks_for("pässword:1"))
    secret = "pässword:1".encode().decode("latin-1")  # which is what requests sends

    unknown = requests.get(url, timeout=30)
    wrong = requests.get(url, auth=("ann", "password"), timeout=30)
    odd = requests.get(url, headers={"Authorization": "Basic %"}, timeout=30)
    right = requests.get(url, auth=("ann", secret), timeout=30)

    assert [a.status_code for a in (unknown, wrong, odd, right)] == [401] * 3 + [200]
    assert unknown.headers["WWW-Authenticate"].startswith("Basic ")


def _without_token(_: Visitor, fields: dict[str, str]) -> dict[str, str]:
    del fields["token"]
    return {}


def _wrong_token(_: Visitor, fields: dict[str, str]) -> dict[str, str]:
    fields["token"] = "x" * 43
    return {}


def _without_cookie(visitor: Visitor, _: dict[str, str]) -> dict[str, str]:
    visitor.session.cookies.clear()
    return {}


def _other_site(_: Visitor, __: dict[str, str]) -> dict[str, str]:
    return {"Origin": "https://evil.example"}


def _other_port(_: Visitor, __: dict[str, str]) -> dict[str, str]:
    return {"Origin": "http://127.0.0.1:1"}


def _from_nowhere(_: Visitor, __: dict[str, str]) -> dict[str, str]:
    return {"Origin": "null"}


def _says_nothing(_: Visitor, __: dict[str, str]) -> dict[str, str]:
    return {"Origin": ""}


@pytest.mark.parametrize(
    "spoil",
    [
        *(_without_token, _wrong_token, _without_cookie),
        *(_other_site, _other_port, _from_nowhere, _says_nothing),
    ],
)
def test_another_site_can_press_no_button(
    serve_dashboard: Serve, spoil: object
) -> None:
    assert callable(spoil)
    visitor = Visitor(serve_dashboard())
    queues.pause("tests")
    fields = {"token": visitor.token(), "action": "resume", "queue": "tests"}

    spoilt = dict(fields)
    headers = {"Origin": visitor.url} | spoil(visitor, spoilt)
    refused = visitor.post(spoilt, headers)

    assert refused.status_code == 403
    assert queues.is_paused("tests")


def test_the_cookie_goes_with_no_request_of_another_site_and_to_no_script(
    serve_dashboard: Serve,
) -> None:
    url = serve_dashboard()

    plain = requests.get(url, timeout=30).headers["Set-Cookie"]
    again = requests.get(url, cookies={COOKIE: "y" * 43}, timeout=30).headers

    assert re.search(r"; Path=/; HttpOnly; SameSite=Strict$", plain)
    assert "Set-Cookie" not in again


def test_a_form_that_is_too_long_is_refused(serve_dashboard: Serve) -> None:
    visitor = Visitor(serve_dashboard())

    fields = {"token": visitor.token(), "letter": "x" * MOST_BYTES}

    assert visitor.post(fields).status_code == 413


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:3006", 200),
        ("LOCALHOST:1", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("[::2]", 421),
        ("", 421),
    ],
)
def test_no_other_site_reaches_loopback_by_a_name_of_its_own(
    serve_dashboard: Serve, host: str, status: int
) -> None:
    url = serve_dashboard(hosts=["localhost", "127.0.0.1", "[::1]"])

    answer = requests.get(url, headers={"Host": host}, timeout=30)

    assert answer.status_code == status


def test_every_answer_forbids_scripts_of_others_and_frames(
    serve_dashboard: Serve,
) -> None:
    refused = serve_dashboard(authorize=lambda _: Access.NONE)
    url = serve_dashboard()

    answers = [requests.get(url + path, timeout=30) for path in PATHS]
    answers.append(requests.get(refused, timeout=30))

    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert re.search(r"<[^>]* (on\w+|style)=|<script>|<style", answer.text) is None
        urls = re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
        assert [u for u in urls if not u.startswith(("/", "#", "data:"))] == []


def test_where_it_is_mounted_all_links_and_the_cookie_stay_below() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = Dashboard(authorize=lambda _: Access.WRITE)
    queues.pause("tests")

    with serving(Starlette(routes=[Mount("/ops/queues", inner)])) as url:
        visitor = Visitor(f"{url}/ops/queues")
        pages = [visitor.get(path) for path in PAGES]
        after = visitor.act("resume", queue="tests", back="/ops/queues/schedule")
        away = visitor.post(
            {"token": visitor.token(), "action": "pause", "queue": "tests"}
            | {"back": "https://evil.example/ops/queues/"}
        )

    for page in pages:
        assert page.status_code == 200
        links = re.findall(r'(?:src|href|action)="(/[^"]*)"', page.text)
        assert links
        assert all(link.startswith("/ops/queues/") for link in links)
    assert "Queue tests goes on." in after
    assert away.headers["Location"] == "/ops/queues/"
    [cookie] = [c for c in visitor.session.cookies if c.name == COOKIE]
    assert cookie.path == "/ops/queues"
