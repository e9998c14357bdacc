"""YouTube: Google's login, resumable uploads, and the Data API v3 as far as it posts.

Its paths are those of accounts.google.com, oauth2.googleapis.com and
www.googleapis.com, all below ``/youtube``.
"""

from __future__ import annotations

from .vendor import YouTube


__all__ = ["YouTube"]
