"""Templates: a folder for each notification, a file for each part of it.

::

    email-welcome/
        meta.toml          what it is for, and which values it needs
        subject.txt        of the mail; preheader.txt, body.html, body.txt, too
        sms.txt
        push.json          JSON whose texts have holes; so has slack.json
        de/subject.txt     the same part in German

A host's own folder (``NEXUS_TEMPLATES``) comes first, file by file.  Values are data:
they are never read as a template, cannot leave their place in HTML or JSON, and lose
what steers a terminal or turns the direction of a line.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import css_inline
from jinja2 import BaseLoader, StrictUndefined, Template, TemplateNotFound
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from .content import Channel
from .errors import TemplateError
from .settings import NotificationSettings
from .text import clean, duration, gsm, one_line, segments, shorten


#: Gmail cuts a mail at about 102 kB of HTML, with the link to leave at its end.
MAX_HTML: Final = 90_000

NAMES: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
LOCALES: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")

#: The part by which a template says that it can be sent by a channel.
PARTS: Final[dict[Channel, str]] = {
    Channel.EMAIL: "body.html",
    Channel.SMS: "sms.txt",
    Channel.PUSH: "push.json",
    Channel.CHAT: "slack.json",
}

#: Languages that are written from the right.
RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur", "yi", "ps", "sd"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What a template says of itself.

    Attributes:
        about: One line for the person who chooses one.
        category: What people switch on or off.
        transactional: Whether the recipient waits for it: if it is not known whether
            it was sent, it is sent again.
        urgent: Whether it may come in quiet hours.
        required: Whether it cannot be switched off.
        language: Of the parts that lie in the folder itself.
        max_segments: How many text messages it may be.
        needs: By name, the values that must be given, and what they are.
        sample: Values to look at it with.
    """

    about: str = ""
    category: str = "activity"
    transactional: bool = True
    urgent: bool = False
    required: bool = False
    language: str = "en"
    max_segments: int = 2
    needs: Mapping[str, str] = field(default_factory=dict)
    sample: Mapping[str, Any] = field(default_factory=dict)


class Templates:
    """All templates: the host's, then ours."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings
        self._folders = [
            *([settings.templates] if settings.templates else []),
            Path(str(files("nexus_actors.notifications") / "catalog")),
        ]
        loader = _Loader(self._folders)
        self._html = _environment(loader, autoescape=True, finalize=_shown)
        self._text = _environment(loader, autoescape=False, finalize=_shown)
        # of JSON, whose texts say themselves where a line ends
        self._push = _environment(loader, autoescape=False, finalize=_shown, trim=False)
        self._mrkdwn = _environment(
            loader, autoescape=False, finalize=_mrkdwn, trim=False
        )

    def names(self) -> list[str]:
        """Return the names of all templates."""
        found = {
            path.parent.name
            for folder in self._folders
            for path in folder.glob("*/meta.toml")
        }
        return sorted(name for name in found if NAMES.fullmatch(name))

    def channels(self, name: str) -> list[Channel]:
        """Return what a template can be sent by."""
        self.meta(name)
        return [c for c, part in PARTS.items() if self._find(name, part, "")]

    @functools.lru_cache(maxsize=256)  # noqa: B019 - there is one for the process
    def meta(self, name: str) -> Meta:
        """Return what a template says of itself.

        Raises:
            TemplateError: There is none of that name, or it is malformed.
        """
        path = next(self._files(name, "meta.toml"), None)
        if not NAMES.fullmatch(name) or path is None:
            known = ", ".join(self.names())
            raise TemplateError(f"no template {name!r}; there are: {known}")
        try:
            return Meta(**tomllib.loads(path.read_text("utf-8")))
        except (TypeError, ValueError) as error:
            raise TemplateError(f"{path} is malformed: {error}") from error

    def mail(self, name: str, values: Mapping[str, Any], locale: str) -> dict[str, str]:
        """Render subject, preheader, html and text.

        Raises:
            TemplateError: A value is missing, or a part is broken or too large.
        """
        context = self._context(name, "body.html", values, locale)
        subject = one_line(self._render(self._text, name, "subject.txt", context))
        preheader = one_line(self._render(self._text, name, "preheader.txt", context))
        more = {"subject": subject, "preheader": preheader}
        html = self._render(self._html, name, "body.html", context | more)
        html = _inliner().inline(html)
        size = len(html.encode())
        if size > MAX_HTML:
            raise TemplateError(
                f"{name}: the mail has {size:,} bytes of HTML and may have "
                f"{MAX_HTML:,}: mail programs cut longer ones"
            )
        text = self._render(self._text, name, "body.txt", context | more)
        text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
        return {**more, "html": html, "text": text}

    def sms(self, name: str, values: Mapping[str, Any], locale: str) -> str:
        """Render a text message.

        Raises:
            TemplateError: A value is missing, or it is too long.
        """
        context = self._context(name, "sms.txt", values, locale)
        text = gsm(one_line(self._render(self._text, name, "sms.txt", context)))
        count, most = segments(text).count, self.meta(name).max_segments
        if count > most:
            raise TemplateError(
                f"{name}: the text message takes {count} segments and may take {most}"
            )
        return text

    def push(self, name: str, values: Mapping[str, Any], locale: str) -> dict[str, Any]:
        """Render title, body, link, image and data of a push message."""
        context = self._context(name, "push.json", values, locale)
        return self._structure(self._push, name, "push.json", context)

    def slack(
        self, name: str, values: Mapping[str, Any], locale: str
    ) -> dict[str, Any]:
        """Render text and blocks of a chat message."""
        context = self._context(name, "slack.json", values, locale)
        return self._structure(self._mrkdwn, name, "slack.json", context)

    def _context(
        self, name: str, part: str, values: Mapping[str, Any], locale: str
    ) -> dict[str, Any]:
        meta, given = self.meta(name), _snake(values)
        missing = [need for need in meta.needs if given.get(need) in (None, "")]
        if missing:
            raise TemplateError(
                f"{name}: template_data lacks {', '.join(missing)}", missing=missing
            )
        settings = self._settings
        # what the layout says is in the language of the part that it holds
        spoken = self._spoken(name, part, locale)
        language = re.split("[-_]", spoken)[0].lower()
        app = {
            "name": settings.app_name,
            "url": settings.app_url,
            "logo_url": settings.app_logo_url,
            "support": settings.app_support,
            "postal_address": settings.app_postal_address,
            "preferences_url": settings.preferences_url,
            "color": settings.app_color,
        }
        return {
            **given,
            "app": app,
            "locale": locale,
            "language": spoken.replace("_", "-"),
            "words": _words(self._folders, language),
            "direction": "rtl" if language in RIGHT_TO_LEFT else "ltr",
        }

    def _render(
        self,
        environment: ImmutableSandboxedEnvironment,
        name: str,
        part: str,
        context: Mapping[str, Any],
    ) -> str:
        path = self._find(name, part, context["locale"])
        if path is None:
            raise TemplateError(f"the template {name!r} has no {part}")
        rendered: str = _guarded(
            name, part, lambda: environment.get_template(path).render(context)
        )
        return rendered

    def _structure(
        self,
        environment: ImmutableSandboxedEnvironment,
        name: str,
        part: str,
        context: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Read JSON, and fill the holes of its texts: no value can change its shape."""
        path = self._find(name, part, context["locale"])
        if path is None:
            raise TemplateError(f"the template {name!r} has no {part}")
        source, _, _ = environment.loader.get_source(environment, path)  # type: ignore[union-attr] # there is one
        try:
            shape = json.loads(source)
        except ValueError as error:
            raise TemplateError(f"{path} is no JSON: {error}") from error

        def fill(text: str) -> str:
            return _compiled(environment, text).render(context).strip()

        filled: dict[str, Any] = _guarded(name, part, lambda: _filled(shape, fill))
        return filled

    def _find(self, name: str, part: str, locale: str) -> str | None:
        """Return the part in the language that fits best: the host's own first."""
        locale = locale.replace("_", "-")
        language = locale.partition("-")[0]
        for folder in self._folders:
            for variant in dict.fromkeys((f"{locale}/", f"{language}/", "")):
                path = f"{name}/{variant if variant != '/' else ''}{part}"
                if (folder / path).is_file():
                    return path
        return None

    def _spoken(self, name: str, part: str, locale: str) -> str:
        """Return the language in which a template has *part* for people of *locale*."""
        path = self._find(name, part, locale) or ""
        variant = path.removeprefix(f"{name}/").rpartition("/")[0]
        return variant or self.meta(name).language

    def _files(self, name: str, part: str) -> Iterator[Path]:
        for folder in self._folders:
            if (path := folder / name / part).is_file():
                yield path


class _Loader(BaseLoader):
    """Reads from the first folder that has a file, and from nowhere else."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def get_source(
        self, environment: Any, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        del environment
        if ".." not in template.split("/"):
            for folder in self._folders:
                path = folder / template
                if path.is_file():
                    return path.read_text("utf-8"), str(path), _is_unchanged(path)
        raise TemplateNotFound(template)


def _words(folders: Sequence[Path], language: str) -> dict[str, str]:
    """Return what the layouts themselves say; English where a language lacks it."""
    found: dict[str, str] = {}
    for folder in reversed(folders):
        path = folder / "_layout" / "words.toml"
        if path.is_file():
            all_of_them = tomllib.loads(path.read_text("utf-8"))
            found |= all_of_them.get("en", {}) | all_of_them.get(language, {})
    return found


def _is_unchanged(path: Path) -> Callable[[], bool]:
    read = path.stat().st_mtime_ns
    return lambda: path.is_file() and path.stat().st_mtime_ns == read


def _environment(
    loader: BaseLoader,
    *,
    autoescape: bool,
    finalize: Callable[[Any], Any],
    trim: bool = True,
) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=autoescape,
        finalize=finalize,
        trim_blocks=trim,
        lstrip_blocks=trim,
        keep_trailing_newline=False,
    )
    environment.filters |= {
        "shorten": shorten,
        "duration": duration,
        "url": web_url,
        "when": when,
    }
    return environment


@functools.lru_cache(maxsize=1024)
def _compiled(environment: ImmutableSandboxedEnvironment, text: str) -> Template:
    return environment.from_string(text)


def web_url(value: Any) -> str:
    """Return *value* if it is a link that may stand in a message."""
    text = str(value)
    if urlsplit(text).scheme.lower() not in {"https", "http"} or re.search(
        r"[\s<>\"|\\^`{}]", text
    ):
        raise TemplateError("a link must begin with https:// and have no blanks")
    return text


def when(value: Any, zone: str = "UTC") -> str:
    """Return a time (ISO 8601, or seconds since the epoch) as people write it."""
    moment = (
        datetime.fromtimestamp(value, UTC)
        if isinstance(value, int | float)
        else datetime.fromisoformat(str(value))
    )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%d %b %Y, %H:%M} {local.tzname()}".lstrip("0")


def _shown(value: Any) -> Any:
    if isinstance(value, Markup):  # of a macro: made of values that were here before
        return value
    return clean(value) if isinstance(value, str) else value


def _mrkdwn(value: Any) -> Any:
    """Return a value as Slack shows it: no name is called, no link made of it."""
    if not isinstance(value, str):
        return value
    escaped = clean(value).replace("&", "&amp;")
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


def _filled(shape: Any, fill: Callable[[str], str]) -> Any:
    """Return *shape* with its texts filled, without what is empty or switched off."""
    if isinstance(shape, str):
        return fill(shape)
    if isinstance(shape, list):
        return [kept for each in shape if (kept := _filled(each, fill)) not in ({}, "")]
    if isinstance(shape, dict):
        if "if" in shape and not fill(shape["if"]):
            return {}
        found = {k: _filled(v, fill) for k, v in shape.items() if k != "if"}
        return {name: value for name, value in found.items() if value not in ("", [])}
    return shape


def _guarded(name: str, part: str, render: Callable[[], Any]) -> Any:
    try:
        return render()
    except UndefinedError as error:
        text = f"{name}/{part}: {error.message}: give it in template_data"
        raise TemplateError(text) from None
    except SecurityError as error:
        raise TemplateError(f"{name}/{part} does what it may not: {error}") from None
    except JinjaError as error:
        raise TemplateError(f"{name}/{part} is broken: {error}") from error
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        kind = type(error).__name__
        raise TemplateError(
            f"{name}/{part}: a value is not of the kind that it needs ({kind})"
        ) from None


@functools.cache
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)


def _snake(values: Any) -> Any:
    """Return values with the original system's camelCase names in snake_case."""
    if isinstance(values, Mapping):
        return {
            re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", str(k)).lower(): _snake(v)
            for k, v in values.items()
        }
    if isinstance(values, list | tuple):
        return [_snake(value) for value in values]
    return values
