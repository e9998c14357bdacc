"""Instagram: both of its logins, containers, and posts.

Its paths are those of www, api and graph.instagram.com, and of graph, www and
rupload.facebook.com for accounts that are linked to a Page, all below ``/instagram``.
"""

from __future__ import annotations

from .vendor import Instagram


__all__ = ["Instagram"]
