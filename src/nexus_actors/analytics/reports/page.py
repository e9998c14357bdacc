"""A report as a page: one file, without script, without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from . import charts, terms, wording


#: What a picture is, by its first bytes; others are left out.
KINDS: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"RIFF", "image/webp"),
)


def html(
    report: Mapping[str, Any],
    *,
    pictures: Mapping[str, bytes],
    pdf_url: str | None = None,
) -> str:
    """Return a report as a page.

    Args:
        report: As `building` makes it.
        pictures: Of posts, by the address that the report has.
        pdf_url: Where the same is as a PDF.
    """
    style, template = _parts()
    known = {url: uri for url, data in pictures.items() if (uri := data_uri(data))}
    return template.render(
        report=report,
        style=Markup(style),  # noqa: S704 - ours
        policy=policy(style),
        pictures=known,
        pdf_url=pdf_url,
    )


def policy(style: str) -> str:
    """Return what a browser may do with the page: show it, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def data_uri(data: bytes) -> str | None:
    """Return a picture as an address that holds it; None if it is none."""
    for head, kind in KINDS:
        is_webp = kind != "image/webp" or data[8:12] == b"WEBP"
        if data.startswith(head) and is_webp:
            return f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return None


def link(url: str | None) -> str | None:
    """Return an address that may be followed: of the web, and no other kind."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"https", "http"} and parts.netloc else None


@cache
def _parts() -> tuple[str, Template]:
    """Return the style sheet and the template."""
    folder = files("nexus_actors.analytics.reports")
    style = (folder / "report.css").read_text("utf-8").strip()
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=wording, terms=terms, charts=charts, link=link)
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    return style, template
