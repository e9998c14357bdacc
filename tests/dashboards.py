"""A dashboard that is served, people who visit it, and what there is to be seen."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import uvicorn

from databases import make_key
from nexus_actors import PermanentError, RedisBroker, jobs
from nexus_actors.core.tables import publications as _table  # noqa: F401 - loaded once
from nexus_actors.dashboard import Access, Dashboard
from nexus_actors.dashboard.gate import COOKIE
from nexus_actors.engine.actor import Actor
from nexus_actors.social import Publication, State
from nexus_actors.social.desk import Desk
from queues import ended, make_actor, working


#: Every page that needs nothing to be there.
PAGES: Final = (
    *("/", "/jobs", "/dead", "/schedule", "/workers", "/publications"),
    "/queues/tests",
)

#: What runs where it is put into a page as it is.
HOSTILE: Final = "</pre><script>document.title='hacked'</script><img src=x onerror=1>"

#: What must be on no page.
PLANTED: Final = "PLANTED-secret"


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application on any free port; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    options: dict[str, Any] = {"log_config": None, "lifespan": "off", "ws": "none"}
    config = uvicorn.Config(app, timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


Serve = Callable[..., str]


@pytest.fixture
def serve_dashboard() -> Iterator[Serve]:
    """Serve dashboards; without a hook, everybody may do everything."""
    with ExitStack() as stack:

        def start(*, at: str = "", **options: Any) -> str:
            options = {"authorize": lambda _: Access.WRITE} | options
            return stack.enter_context(serving(Dashboard(**options))) + at

        yield start


@dataclass
class Visitor:
    """Somebody with a browser that runs no scripts."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str = "/", **options: Any) -> requests.Response:
        return self.session.get(f"{self.url}{path}", timeout=30, **options)

    def token(self, path: str = "/") -> str:
        """Return what the forms of a page repeat."""
        text = self.get(path).text
        token = str(self.session.cookies[COOKIE])
        assert set(re.findall(r'name="token" value="([^"]*)"', text)) <= {token}
        return token

    def post(
        self, fields: dict[str, Any], headers: dict[str, str] | None = None
    ) -> requests.Response:
        """Send a form as it is; a page of ours sends its origin."""
        sent = {"Origin": self.url} if headers is None else headers
        return self.session.post(
            f"{self.url}/do", fields, headers=sent, timeout=30, allow_redirects=False
        )

    def act(self, action: str, *, page: str = "/", **fields: Any) -> str:
        """Press a button; return the page that it leads to."""
        about = {"token": self.token(page), "back": page, "action": action}
        answer = self.post(about | fields)
        assert answer.status_code == 303, answer.text
        return self.get(answer.headers["Location"]).text


@dataclass
class Encoder:
    """The body of an actor that runs as far as it is let."""

    __name__ = "encode"
    halfway: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)

    def __call__(self, number: int = 0, text: str = "") -> dict[str, Any]:  # noqa: ARG002 - the body's field
        for gate, fraction in ((self.halfway, 0.25), (self.end, 0.75)):
            jobs.current().progress(fraction, stage="encode", eta_s=12)
            while not gate.wait(0.05):
                jobs.current().check()
        return {"number": number}


@dataclass
class Failing:
    """The body of an actor that fails until its cause is mended."""

    __name__ = "fail"
    message: str = "no such file"
    is_mended: bool = False

    def __call__(self, number: int = 0, text: str = "") -> int:  # noqa: ARG002 - the body's field
        if not self.is_mended:
            raise PermanentError(self.message, code="not_found")
        return number


def declared(broker: RedisBroker, body: Any, **options: Any) -> Actor[..., Any]:
    actor = make_actor(body, **options)
    actor.declare_on(broker)
    return actor


def die(broker: RedisBroker, actor: Actor[..., Any], *texts: str) -> list[str]:
    """Let a worker fail with a message of each text; return the jobs."""
    with working(broker):
        sent = [actor.send(number=n, text=text) for n, text in enumerate(texts)]
        for message in sent:
            assert ended(message, broker).state == "dead"
    return [message.message_id for message in sent]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A database with publications, for this process and who it serves."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'nexus.db'}")
    monkeypatch.setenv("NEXUS_SECRET_KEY", make_key())
    return Desk.open()


def publication(desk: Desk, title: str = "A film", **changes: Any) -> Publication:
    """Make a publication that nobody knows the outcome of."""
    hold = desk.table.take(
        key=f"key of {title}",
        platform="tiktok",
        account="ann",
        request={"content": {"title": title, "link": f"https://example.com/{PLANTED}"}},
        token=PLANTED,
        publish_at=None,
        job=None,
        lease_s=30,
    )
    values: dict[str, Any] = {
        "state": State.UNCONFIRMED,
        "attempt": {"no": 1, "at": "2026-11-26T20:00:00+00:00"},
        "attempts": 1,
        "notes": hold.note("commit", text="the answer was lost"),
        "checkpoint": {"upload": PLANTED},
    }
    hold.write(**values | changes)
    hold.release()
    return desk.table.get(hold.row.id)
