"""Fills the holes of texts: nothing that stands in a value is read as a template.

The environments are Jinja's sandbox, strict about what is missing; they read from the
folders of templates alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from jinja2 import (
    BaseLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    pass_context,
)
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.loaders import split_template_path
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from .errors import TemplateError
from .text import clean, duration, shorten


#: The name under which a context says how much of what is shortened is kept.
SHARE: Final = "_share"

#: A date without a time.
DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class Loader(BaseLoader):
    """Reads from the first folder that has a file, and from nowhere else."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def get_source(
        self, environment: Any, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        """Return a text, where it lies, and what tells whether it is still the same."""
        del environment
        parts = split_template_path(template)
        for folder in self._folders:
            path = folder.joinpath(*parts)
            if path.is_file():
                return path.read_text("utf-8"), str(path), _is_unchanged(path)
        raise TemplateNotFound(template)


def _is_unchanged(path: Path) -> Callable[[], bool]:
    read = path.stat().st_mtime_ns
    return lambda: path.is_file() and path.stat().st_mtime_ns == read


def make_environment(
    loader: BaseLoader,
    *,
    autoescape: bool,
    finalize: Callable[[Any], Any],
    trim: bool = True,
) -> ImmutableSandboxedEnvironment:
    """Return an environment whose values *finalize* makes fit for where they stand."""
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
        "shorten": _shorten,
        "duration": duration,
        "url": web_url,
        "when": when,
    }
    return environment


@functools.lru_cache(maxsize=4096)
def compiled(environment: ImmutableSandboxedEnvironment, text: str) -> Template:
    """Return a text with holes, compiled once."""
    return environment.from_string(text)


def web_url(value: Any) -> str:
    """Return *value* if it is a link that may stand in a message."""
    text = str(value)
    if urlsplit(text).scheme.lower() not in {"https", "http"} or re.search(
        r"[\s<>\"|\\^`{}]", text
    ):
        raise TemplateError("a link must begin with https:// and have no blanks")
    return text


@functools.lru_cache(maxsize=256)
def expression(
    environment: ImmutableSandboxedEnvironment, text: str
) -> Callable[[Mapping[str, Any]], Any]:
    """Return what works an expression out of a context, compiled once."""
    found: Any = environment.compile_expression(text, undefined_to_none=False)
    return lambda context: found(**context)


@pass_context
def _shorten(context: Context, text: Any, most: int) -> str:
    """Return the start of a text; less of it where the whole would not fit."""
    return shorten(str(text), max(1, int(most * context.get(SHARE, 1))))


@pass_context
def when(context: Context, value: Any, zone: str = "UTC") -> str:
    """Return a time or a day as people write it, by the template's words.

    It is ISO 8601, or seconds since the epoch.  What is neither is shown as it is.
    """
    try:
        moment = (
            datetime.fromtimestamp(value, UTC)
            if isinstance(value, int | float)
            else datetime.fromisoformat(str(value))
        )
    except ValueError:
        return shorten(str(value), 40)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    has_time = not DAY.fullmatch(str(value))
    local = moment.astimezone(ZoneInfo(zone)) if has_time else moment
    words = context["words"]
    month = words["months"].split()[local.month - 1]
    day = words["day"].format(day=local.day, month=month, year=local.year)
    return f"{day}, {local:%H:%M} {local.tzname()}" if has_time else str(day)


def shown(value: Any) -> Any:
    """Return a value as people see it, without what steers."""
    if isinstance(value, Markup):  # of a macro: made of values that were here before
        return value
    return clean(value) if isinstance(value, str) else value


def mrkdwn(value: Any) -> Any:
    """Return a value as Slack shows it: no name is called, no link made of it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    escaped = clean(value).replace("&", "&amp;")
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


class Words:
    """What a template says in one language; each text has holes as a part has."""

    def __init__(
        self,
        environment: ImmutableSandboxedEnvironment,
        texts: Mapping[str, str],
        context: Mapping[str, Any],
    ) -> None:
        self._environment = environment
        self._texts = texts
        self._context = context

    def __getitem__(self, name: str) -> Markup:
        # made by this environment, of values that were shown by it
        return Markup(  # noqa: S704
            compiled(self._environment, self._texts[name]).render(self._context)
        )

    def get(self, name: str, default: Any = "") -> Any:
        """Return a text, or *default* where there is none of that name."""
        return self[name] if name in self._texts else default


def guarded(name: str, part: str, render: Callable[[], Any]) -> Any:
    """Render; of what fails, say in which part of which template, and why.

    Raises:
        TemplateError: A value is missing or of another kind, or the part is broken.
    """
    try:
        return render()
    except UndefinedError as error:
        text = f"{name}/{part}: {error.message}: give it in template_data"
        raise TemplateError(text) from None
    except SecurityError as error:
        raise TemplateError(f"{name}/{part} does what it may not: {error}") from None
    except JinjaError as error:
        raise TemplateError(f"{name}/{part} is broken: {error}") from error
    except RecursionError:
        raise TemplateError(f"{name}/{part} includes itself without end") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, OSError) as error:
        kind = type(error).__name__
        raise TemplateError(
            f"{name}/{part}: a value is not of the kind that it needs ({kind})"
        ) from None
