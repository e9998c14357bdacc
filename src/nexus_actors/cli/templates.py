"""``templates``: what notifications say, to look at before anyone gets it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nexus_actors.core.errors import InvalidRequestError, MissingExtraError

from .common import print_json


if TYPE_CHECKING:
    from nexus_actors.notifications.templates import Templates

LOCALE = click.option(
    "--locale", help="Such as de-AT; by default NEXUS_DEFAULT_LOCALE."
)
DATA = click.option(
    "--data",
    metavar="JSON|@FILE",
    help="The values; by default the template's own sample.",
)


@click.group()
def templates() -> None:
    """List, render and look at the templates of notifications."""


@templates.command("list")
def list_() -> None:
    """Tell which there are, and what each needs."""
    found = _load()
    print_json(
        [
            {
                "template": name,
                "about": found.meta(name).about,
                "category": found.meta(name).category,
                "channels": [channel.value for channel in found.channels(name)],
                "needs": dict(found.meta(name).needs),
            }
            for name in found.names()
        ]
    )


@templates.command()
@click.argument("template")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["email", "sms", "push", "slack"]),
    default="email",
    show_default=True,
)
@LOCALE
@DATA
def render(template: str, kind: str, locale: str | None, data: str | None) -> None:
    """Print what TEMPLATE says by one channel."""
    print_json(_rendered(_load(), template, kind, locale, data))


@templates.command()
@click.argument("template")
@LOCALE
@DATA
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("nexus-preview"),
    show_default=True,
    help="The folder to write to.",
)
def preview(template: str, locale: str | None, data: str | None, output: Path) -> None:
    """Write TEMPLATE as a page to open.

    It shows the mail at two widths, and what all channels say.
    """
    found = _load()
    parts = {
        channel.value: _rendered(found, template, channel.value, locale, data)
        for channel in found.channels(template)
    }
    page = output / f"{template}.html"
    try:
        output.mkdir(parents=True, exist_ok=True)
        if "email" in parts:
            mail = output / f"{template}.mail.html"
            mail.write_text(parts["email"].pop("html"), encoding="utf-8")
        page.write_text(_page(template, parts), encoding="utf-8")
    except OSError as error:
        raise InvalidRequestError(f"--output: {error}") from error
    print_json({"page": str(page)})
    click.echo(f"open    {page.absolute().as_uri()}", err=True)


def _load() -> Templates:
    from nexus_actors.notifications.settings import NotificationSettings

    try:
        from nexus_actors.notifications.templates import Templates
    except ImportError as error:
        raise MissingExtraError("templates", "notifications") from error
    return Templates(NotificationSettings.load())


def _rendered(
    found: Templates, template: str, kind: str, locale: str | None, data: str | None
) -> Any:
    from nexus_actors.notifications.settings import NotificationSettings

    settings = NotificationSettings.load()
    values = dict(found.meta(template).sample) if data is None else _values(data)
    values = {"zone": settings.default_zone, **values}
    make = {
        "email": found.mail,
        "sms": found.sms,
        "push": found.push,
        "slack": found.slack,
    }[kind]
    rendered = make(template, values, locale or settings.default_locale)
    return {"body": rendered} if isinstance(rendered, str) else rendered


def _values(data: str) -> dict[str, Any]:
    try:
        text = Path(data[1:]).read_text("utf-8") if data.startswith("@") else data
        values = json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"--data: {error}") from error
    if not isinstance(values, dict):
        raise InvalidRequestError('--data: give an object, such as {"name": "Ann"}')
    return values


def _page(template: str, parts: dict[str, Any]) -> str:
    frames = ""
    if "email" in parts:
        source = f"{template}.mail.html"
        frames = "".join(
            f'<iframe src="{source}" title="{width} pixels wide" width="{width}" '
            'height="760" style="border: 1px solid #999; margin: 0 12px 12px 0">'
            "</iframe>"
            for width in (375, 760)
        )
    told = "".join(
        f"<h2>{name}</h2><pre style='white-space: pre-wrap'>{_told(part)}</pre>"
        for name, part in parts.items()
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>{template}</title>"
        '<meta name="color-scheme" content="light dark">'
        f'<body style="font-family: sans-serif"><h1>{template}</h1>{frames}{told}'
    )


def _told(part: dict[str, Any]) -> str:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, indent=2)
        for name, value in part.items()
    }
    return html.escape(
        "\n".join(
            f"{name}:\n{text}" if "\n" in text else f"{name}: {text}"
            for name, text in texts.items()
        )
    )
