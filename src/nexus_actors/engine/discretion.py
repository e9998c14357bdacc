"""Keeps the bodies of our messages, which may hold secrets, out of dramatiq's logs."""

from __future__ import annotations

import logging
from typing import Any

from dramatiq import Message, MessageProxy
from dramatiq.common import dq_name


_hidden: set[str] = set()


def hide_bodies(actor_name: str, queue_name: str) -> None:
    """Make the workers of this process name the actor's messages by their ids.

    Those of other actors, such as a host's own, are logged as dramatiq does it.
    """
    _hidden.add(actor_name)
    consumers = [f"ConsumerThread({q})" for q in (queue_name, dq_name(queue_name))]
    for name in ("WorkerThread", *consumers):
        logging.getLogger(f"dramatiq.worker.{name}").addFilter(_hide)


def _hide(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_named(value) for value in record.args)
    return True


def _named(value: Any) -> Any:
    if isinstance(value, Message | MessageProxy) and value.actor_name in _hidden:
        return f"{value.actor_name}({value.message_id})"
    return value
