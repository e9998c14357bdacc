"""Structured logs: JSON lines, or colour on a terminal; secrets never in clear."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Literal, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


#: Names whose values are replaced, wherever they stand in an event.
SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?s?$|secret|token|(api|access|private)[_-]?key|"
    r"authorization|credential|cookie",
    re.IGNORECASE,
)

#: The user's part of a URL, which is where URLs carry a password.
URL_USER = re.compile(r"(?<=://)[^/@\s'\"]*:[^/\s'\"]*(?=@)")

#: What a signed URL of an object store must not be told with.
URL_SIGNATURE = re.compile(
    r"(?<=[?&])(X-Amz-(?:Signature|Security-Token|Credential)=)[^&\s'\"]+"
)

#: What stands in a secret's place.
REDACTED = "***"


def redact(value: Any, name: str = "") -> Any:
    """Return *value* without what is under a secret's name, or a URL's own."""
    if name and _is_secret(name):
        return REDACTED
    if isinstance(value, str):
        if "://" not in value and "X-Amz-" not in value:
            return value
        return URL_SIGNATURE.sub(rf"\1{REDACTED}", URL_USER.sub(REDACTED, value))
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def _redact_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: redact(value, name) for name, value in event.items()}


def _name_environment(env: str) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["env"] = env
        return event

    return add


_encoder = json.JSONEncoder(default=repr)  # made once: there are two lines for each job


def _to_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return _encoder.encode(event)


#: One list for all configurations: loggers that are in use keep hold of it.
_processors: list[Processor] = []


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders an event of ours without a copy of its record, which is half the cost."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*."""
        if not isinstance(record.msg, dict) or not hasattr(record, "_logger"):
            return super().format(record)
        event: Any = dict(record.msg)
        for process in self.processors[1:]:  # the first takes away what super() adds
            event = process(record.__dict__["_logger"], record.__dict__["_name"], event)
        return str(event)


def configure(
    level: str = "INFO",
    style: Literal["auto", "json", "console"] = "auto",
    *,
    env: str | None = None,
) -> None:
    """Send the standard library's logs and ours to stderr, in one format.

    Safe to call again; the last call wins.  *style* ``auto`` means colour when stderr
    is a terminal and JSON otherwise.  *env*, such as ``production``, is on every line.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        *([] if env is None else [_name_environment(env)]),
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    _processors[:] = [
        structlog.stdlib.filter_by_level,  # first: what is not logged costs nothing
        *shared,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    before: list[Processor] = [] if console else [structlog.processors.format_exc_info]
    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=not os.environ.get("NO_COLOR"))
        if console
        else _to_json
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *before,
                _redact_event,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; events are dotted names plus fields.

    Where nobody has configured structlog, as in most hosts, they are messages of the
    standard library's logger of that name.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        None,
        wrapper_class=cast("Any", partial(_assemble, name)),  # it makes one
        logger_factory_args=(name,),
    )
    return logger


def _assemble(
    name: str, logger: WrappedLogger, processors: list[Processor], context: Any
) -> Any:
    """Make a logger as configured: structlog's default prints to a host's stdout."""
    if structlog.is_configured():
        make: Any = structlog.get_config()["wrapper_class"]
        return make(logger, processors=processors, context=context)
    return structlog.stdlib.BoundLogger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _redact_event,
            _to_message,
        ],
        context=context,
    )


def _to_message(
    _: WrappedLogger, __: str, event: EventDict
) -> tuple[tuple[str], dict[str, Any]]:
    """Make of an event what the standard library's loggers take."""
    error, what = event.pop("exc_info", None), event.pop("event")
    fields = (f"{name}={value!r}" for name, value in event.items())
    return (" ".join([str(what), *fields]),), {"exc_info": error}
