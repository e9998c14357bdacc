"""The application: its paths, and what stands in front of them."""

from __future__ import annotations

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from nexus_actors.core.errors import NexusError

from .actions import act
from .gate import Authorize, Gate
from .pages import Pages
from .rates import Meter
from .render import ASSETS, asset, page


class Dashboard:
    """The operator's page as an ASGI application, on the broker in use.

    Mount it wherever you like: it takes the path from the host.  Nobody is let in
    without the hook's word, and no request is answered before it.

    Args:
        authorize: Is given each request, a `starlette.requests.Request`, and returns
            the `Access` of its sender; or raises Starlette's `HTTPException`, such as
            one that leads to a login.
        hosts: The names under which browsers reach it; those of others are refused.
            Give them where there is no login, as on loopback, so that no other site
            can reach it by a name of its own.  By default any.
        read_only: Let nobody change anything, whatever the hook says.
    """

    def __init__(
        self,
        *,
        authorize: Authorize,
        hosts: Collection[str] | None = None,
        read_only: bool = False,
    ) -> None:
        self.meter = Meter()
        pages = Pages(self.meter)
        shown = {
            "/": pages.queues,
            "/queues/{name:path}": pages.queue,
            "/jobs": pages.jobs,
            "/jobs/{id:path}": pages.job,
            "/dead": pages.dead,
            "/dead/letter": pages.letter,
            "/schedule": pages.schedule,
            "/workers": pages.workers,
            "/publications": pages.publications,
            "/publications/{id:path}": pages.publication,
            "/static/{name}": _static,
        }
        app = Starlette(
            routes=[
                *(Route(path, endpoint) for path, endpoint in shown.items()),
                Route("/do", act, methods=["POST"]),
            ],
            exception_handlers={HTTPException: _refused, NexusError: _failed},
        )
        self._gate = Gate(app, authorize=authorize, hosts=hosts, read_only=read_only)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._gate(scope, receive, send)


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        raise HTTPException(404, "There is no such file.")
    kept = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(asset(name), media_type=ASSETS[name], headers=kept)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    return page(request, "problem.html", status=error.status_code, problem=error.detail)


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, NexusError)  # noqa: S101 - it is registered for these
    status = 503 if error.retryable else 400
    if error.code == "unknown_publication":
        status = 404
    return page(request, "problem.html", status=status, problem=error.message)
