"""A worker of the library with an actor of a test's own, which holds its thread."""

from __future__ import annotations

import os

import dramatiq

from nexus_actors.worker import notifications


__all__ = ["notifications"]


@dramatiq.actor(max_retries=0)
def hold(gate: str) -> None:
    """Block in C code, without the interpreter's lock, until *gate* is opened."""
    os.close(os.open(gate, os.O_RDONLY))
