"""Facebook: its login, and what a Page publishes.

Its paths are those of www, graph, graph-video and rupload.facebook.com, all below
``/facebook``.
"""

from __future__ import annotations

from .vendor import Facebook


__all__ = ["Facebook"]
