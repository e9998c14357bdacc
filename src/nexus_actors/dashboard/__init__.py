"""The operator's page: an ASGI application that a host mounts, or runs by itself.

Server-rendered; a script keeps it fresh, and all of it works without one.  It does what
the ``nexus-actors`` command does, by the same calls, on the broker in use.
"""

from __future__ import annotations

from nexus_actors.core.errors import MissingExtraError


try:
    from .app import Dashboard
    from .gate import Access
except ModuleNotFoundError as error:
    if (error.name or "").startswith("nexus_actors"):
        raise
    raise MissingExtraError("nexus_actors.dashboard", "dashboard") from error

__all__ = ["Access", "Dashboard"]
