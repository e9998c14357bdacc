"""Templates: a folder for each notification, a file for each part of it.

::

    email-welcome/
        meta.toml          what it is for, and which values it needs
        words.toml         its texts, by language; a part says ``{{ words.title }}``
        subject.txt        of the mail; preheader.txt, body.html, body.txt, too
        sms.txt
        push.json          JSON whose texts have holes; so has slack.json
        de/subject.txt     a part that is another one in German

A host's own folder (``NEXUS_TEMPLATES``) comes first, file by file, and of words text
by text.  Values are data:
they are never read as a template, cannot leave their place in HTML or JSON, and lose
what steers a terminal or turns the direction of a line.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import css_inline
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field

from nexus_actors.core.models import Model

from .content import Channel
from .errors import TemplateError
from .rendering import (
    SHARE,
    Loader,
    Words,
    compiled,
    expression,
    guarded,
    make_environment,
    mrkdwn,
    shown,
)
from .settings import NotificationSettings
from .text import fit, gsm, one_line, segments


#: Gmail cuts a mail at about 102 kB of HTML, with the link to leave at its end.
MAX_HTML: Final = 90_000

NAMES: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

#: How much of what is shortened is kept where a text message would be too long.
SHARES: Final = (1, 0.6, 0.3, 0.1, 0)

#: Names in JSON whose values are links.
LINKS: Final = frozenset({"url", "image_url"})

#: How long the text of a section and of a header may be; docs.slack.dev, "Text object"
#: and "Header block".
MAX_TEXT: Final = 3000
MAX_HEADER: Final = 150

#: What a push message and a chat message are made of.
PUSH: Final = {"title": str, "body": str, "link": str, "image": str, "data": dict}
SLACK: Final = {"text": str, "blocks": list}

#: The part by which a template says that it can be sent by a channel.
PARTS: Final[dict[Channel, str]] = {
    Channel.EMAIL: "body.html",
    Channel.SMS: "sms.txt",
    Channel.PUSH: "push.json",
    Channel.CHAT: "slack.json",
}

#: Languages that are written from the right.
RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur", "yi", "ps", "sd"})


class Meta(Model):
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
        derived: By name, further values, worked out from these in order: expressions of
            Jinja.
        sample: Values to look at it with.
    """

    about: str = ""
    category: str = "activity"
    transactional: bool = True
    urgent: bool = False
    required: bool = False
    language: str = "en"
    max_segments: int = 2
    needs: Mapping[str, str] = Field(default_factory=dict)
    derived: Mapping[str, str] = Field(default_factory=dict)
    sample: Mapping[str, Any] = Field(default_factory=dict)


class Templates:
    """All templates: the host's, then ours."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings
        self._folders = [
            *([settings.templates] if settings.templates else []),
            Path(str(files("nexus_actors.notifications") / "catalog")),
        ]
        loader = Loader(self._folders)
        self._html = make_environment(loader, autoescape=True, finalize=shown)
        self._text = make_environment(loader, autoescape=False, finalize=shown)
        # of JSON, whose texts say themselves where a line ends
        self._push = make_environment(
            loader, autoescape=False, finalize=shown, trim=False
        )
        self._mrkdwn = make_environment(
            loader, autoescape=False, finalize=mrkdwn, trim=False
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
            return Meta.parse(tomllib.loads(path.read_text("utf-8")), what="it")
        except ValueError as error:
            raise TemplateError(f"{path} is malformed: {error}") from error

    def mail(self, name: str, values: Mapping[str, Any], locale: str) -> dict[str, str]:
        """Render subject, preheader, html and text.

        Raises:
            TemplateError: A value is missing, or a part is broken or too large.
        """
        of_text = self._context(self._text, name, "body.txt", values, locale)
        subject = one_line(self._render(self._text, name, "subject.txt", of_text))
        preheader = one_line(self._render(self._text, name, "preheader.txt", of_text))
        more = {"subject": subject, "preheader": preheader}
        of_html = self._context(self._html, name, "body.html", values, locale) | more
        html = _inliner().inline(self._render(self._html, name, "body.html", of_html))
        size = len(html.encode())
        if size > MAX_HTML:
            raise TemplateError(
                f"{name}: the mail has {size:,} bytes of HTML and may have "
                f"{MAX_HTML:,}: mail programs cut longer ones"
            )
        text = self._render(self._text, name, "body.txt", of_text | more)
        text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
        return {**more, "html": html, "text": text}

    def sms(self, name: str, values: Mapping[str, Any], locale: str) -> str:
        """Render a text message; what is shortened in it is shortened until it fits.

        Raises:
            TemplateError: A value is missing, or it is too long all the same.
        """
        context = self._context(self._text, name, "sms.txt", values, locale)
        most, count, longer = self.meta(name).max_segments, 0, ""
        for share in SHARES:
            context[SHARE] = share
            text = gsm(one_line(self._render(self._text, name, "sms.txt", context)))
            if text == longer:
                break  # nothing in it is shortened
            count, longer = segments(text).count, text
            if count <= most:
                return text
        raise TemplateError(
            f"{name}: the text message takes {count} segments and may take {most}"
        )

    def push(self, name: str, values: Mapping[str, Any], locale: str) -> dict[str, Any]:
        """Render title, body, link, image and data of a push message."""
        found = self._structure(self._push, name, "push.json", values, locale)
        return _checked(found, PUSH, f"{name}/push.json")

    def slack(
        self, name: str, values: Mapping[str, Any], locale: str
    ) -> dict[str, Any]:
        """Render text and blocks of a chat message."""
        found = self._structure(self._mrkdwn, name, "slack.json", values, locale)
        found = _checked(found, SLACK, f"{name}/slack.json")
        if "blocks" in found:
            found["blocks"] = [part for each in found["blocks"] for part in _cut(each)]
        return found

    def _context(
        self,
        environment: ImmutableSandboxedEnvironment,
        name: str,
        part: str,
        values: Mapping[str, Any],
        locale: str,
    ) -> dict[str, Any]:
        """Return what *part* is rendered with: values, words, and what follows."""
        meta, given = self.meta(name), _snake(values)
        missing = [need for need in meta.needs if given.get(need) in (None, "")]
        if missing:
            raise TemplateError(
                f"{name}: template_data lacks {', '.join(missing)}", missing=missing
            )
        settings = self._settings
        spoken = self._spoken(name, part, locale)
        app = {
            "name": settings.app_name,
            "url": settings.app_url,
            "logo_url": settings.app_logo_url,
            "support": settings.app_support,
            "postal_address": settings.app_postal_address,
            "preferences_url": settings.preferences_url,
            "color": settings.app_color,
        }
        right_to_left = _language(spoken).lower() in RIGHT_TO_LEFT
        context = {
            **given,
            "app": app,
            "locale": locale,
            "language": spoken.replace("_", "-"),
            "direction": "rtl" if right_to_left else "ltr",
            SHARE: 1,
        }
        is_theirs = _language(spoken) == _language(locale)
        texts = self._texts(name, _tags(locale if is_theirs else spoken))
        context["words"] = Words(environment, texts, context)
        for derived, how in meta.derived.items():
            work_out = partial(expression(environment, how), context)
            context[derived] = guarded(name, "meta.toml", work_out)
        return context

    def _render(
        self,
        environment: ImmutableSandboxedEnvironment,
        name: str,
        part: str,
        context: Mapping[str, Any],
    ) -> str:
        path = self._path(name, part, context["locale"])
        rendered: str = guarded(
            name, part, lambda: environment.get_template(path).render(context)
        )
        return rendered

    def _structure(
        self,
        environment: ImmutableSandboxedEnvironment,
        name: str,
        part: str,
        values: Mapping[str, Any],
        locale: str,
    ) -> Any:
        """Read JSON, and fill the holes of its texts: no value can change its shape."""
        path = self._path(name, part, locale)
        source, _, _ = environment.loader.get_source(environment, path)  # type: ignore[union-attr] # there is one
        try:
            shape = json.loads(source)
        except ValueError as error:
            raise TemplateError(f"{path} is no JSON: {error}") from error
        context = self._context(environment, name, part, values, locale)

        def fill(text: str, key: str) -> str:
            # of Slack's links nothing is escaped but what stands in a text
            made = self._push if key in LINKS else environment
            return compiled(made, text).render(context).strip()

        return guarded(name, part, lambda: _filled(shape, fill))

    def _find(self, name: str, part: str, locale: str) -> tuple[Path, str] | None:
        """Return the part in the language that fits best: the host's own first.

        Returns:
            In which folder of templates, and its path there.
        """
        for folder in self._folders:
            for variant in (*(f"{each}/" for each in _tags(locale)), ""):
                path = f"{name}/{variant}{part}"
                if (folder / path).is_file():
                    return folder, path
        return None

    def _path(self, name: str, part: str, locale: str) -> str:
        found = self._find(name, part, locale)
        if found is None:
            raise TemplateError(f"the template {name!r} has no {part}")
        return found[1]

    def _spoken(self, name: str, part: str, locale: str) -> str:
        """Return the language in which a template has *part* for people of *locale*.

        That is the one of its folder, or one of the words beside it.
        """
        own = self.meta(name).language
        found = self._find(name, part, locale)
        if found is None:
            return own
        folder, path = found
        variant = path.removeprefix(f"{name}/").rpartition("/")[0]
        tables = _tables(folder / name / "words.toml")
        return variant or next((tag for tag in _tags(locale) if tag in tables), own)

    def _texts(self, name: str, tags: Sequence[str]) -> dict[str, str]:
        """Return what the layouts and the template say, in the first of *tags*.

        What one lacks is said in the next, then in the template's own language, and
        then in English.
        """
        found: dict[str, str] = {}
        own = self.meta(name).language
        for tag in ("en", own, *reversed(tags)):
            for part in ("_layout", name):
                for folder in reversed(self._folders):
                    found |= _tables(folder / part / "words.toml").get(tag, {})
        return found

    def _files(self, name: str, part: str) -> Iterator[Path]:
        for folder in self._folders:
            if (path := folder / name / part).is_file():
                yield path


def _language(tag: str) -> str:
    return re.split("[-_]", tag)[0]


def _tags(locale: str) -> tuple[str, ...]:
    """Return a locale, and its language alone: the narrowest first."""
    tag = locale.replace("_", "-")
    return tuple(each for each in dict.fromkeys((tag, _language(tag))) if each)


def _tables(path: Path) -> Mapping[str, dict[str, str]]:
    """Return the texts of a file, by language; none, if there is no file.

    Raises:
        TemplateError: It is malformed.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return {}
    return _read_tables(path, changed)


@functools.lru_cache(maxsize=256)
def _read_tables(path: Path, _: int) -> Mapping[str, dict[str, str]]:
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise TemplateError(f"{path} is malformed: {error}") from error
    for tag, texts in found.items():
        if not isinstance(texts, dict) or not all(
            isinstance(text, str) for text in texts.values()
        ):
            raise TemplateError(f"{path}: [{tag}] must have texts alone")
    return found


def _filled(shape: Any, fill: Callable[[str, str], str], key: str = "") -> Any:
    """Return *shape* with its texts filled, without what is empty or switched off."""
    if isinstance(shape, str):
        return fill(shape, key)
    if isinstance(shape, list):
        return [kept for each in shape if (kept := _filled(each, fill)) not in ({}, "")]
    if isinstance(shape, dict):
        if "if" in shape and not fill(shape["if"], "if"):
            return {}
        found = {k: _filled(v, fill, k) for k, v in shape.items() if k != "if"}
        return {name: value for name, value in found.items() if value not in ("", [])}
    return shape


def _checked(found: Any, shape: Mapping[str, type], path: str) -> dict[str, Any]:
    """Refuse what is not of *shape*: the names that there are, and their kinds."""
    if not isinstance(found, dict):
        raise TemplateError(f"{path} must be a JSON object")
    for name, value in found.items():
        kind = shape.get(name)
        if kind is None:
            raise TemplateError(f"{path}: no {name!r}; there are: {', '.join(shape)}")
        inner = value if kind is list else ()
        if not isinstance(value, kind) or not all(isinstance(e, dict) for e in inner):
            raise TemplateError(f"{path}: {name} is of the wrong kind")
    return found


def _cut(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a block of Slack's, as several where its text is longer than it may be."""
    whole: Any = block.get("text")
    if block.get("type") == "header" and whole:
        block = {**block, "text": {**whole, "text": fit(whole["text"], MAX_HEADER)}}
    if block.get("type") != "section" or not whole:
        yield block
        return
    kept = ""
    for line in whole["text"].split("\n"):
        if kept and len(kept) + len(line) >= MAX_TEXT:
            yield {**block, "text": {**whole, "text": kept}}
            kept = ""
        kept = f"{kept}\n{line}".strip("\n")[:MAX_TEXT]
    yield {**block, "text": {**whole, "text": kept}}


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
