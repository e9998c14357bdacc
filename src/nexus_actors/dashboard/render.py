"""Makes a page of a template; and what one page tells the next."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from .gate import visit_of
from .words import FILTERS


#: The cookie that takes an answer from a form to the next page, for so many seconds.
SAID: Final = "nexus_dashboard_said"
SAID_S: Final = 60

#: What a page is made of beside its text, and what it is.
ASSETS: Final = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}


#: What is not seen, or turns around what stands near it: a text could pass for another.
UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ufeff]"
)


def _seen(value: Any) -> Any:
    """Return a text with what is not seen written out."""
    if type(value) is not str:
        return value
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


@cache
def asset(name: str) -> bytes:
    """Return a file that pages load."""
    return (files(__package__) / "static" / name).read_bytes()


@cache
def _version() -> str:
    """Return what changes when a file does, so that browsers may keep each for good."""
    content = b"".join(asset(name) for name in sorted(ASSETS))
    return hashlib.sha256(content).hexdigest()[:12]


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    return made


def root(request: Request) -> str:
    """Return the path under which the host has mounted us."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def page(
    request: Request, template: str, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """Return a page; it tells what the form before it came to."""
    here = quote(str(request.scope["path"]).removeprefix(root(request)))

    def link(**changes: Any) -> str:
        """Return this page's address with other choices; those that are empty go."""
        chosen = {**request.query_params, **changes}
        query = urlencode({k: v for k, v in chosen.items() if v not in {"", None}})
        return f"{root(request)}{here}{'?' * bool(query)}{query}"

    is_live = "nexus-live" in request.headers  # a look of the script's, not a person's
    said = "" if is_live else unquote(request.cookies.get(SAID, ""))
    kind, _, words = said.partition(":")
    told = (
        _templates()
        .get_template(template)
        .render(
            root=root(request),
            visit=visit_of(request),
            version=_version(),
            link=link,
            back=link(),
            said=(kind, words) if words else None,
            **context,
        )
    )
    answer = HTMLResponse(told, status)
    if said:
        answer.delete_cookie(SAID, root(request) or "/")
    return answer


def lead_back(request: Request, words: str, *, kind: str = "done") -> Response:
    """Return to the page that a form was on, and tell there what it came to."""
    home = f"{root(request)}/"
    back = visit_of(request).first("back")
    is_ours = back.startswith(home) and not back.startswith("//") and "\\" not in back
    answer = RedirectResponse(back if is_ours else home, 303)
    value = quote(f"{kind}:{words[:1000]}")
    path = root(request) or "/"
    answer.set_cookie(SAID, value, SAID_S, path=path, httponly=True, samesite="strict")
    return answer
