"""TikTok: its login, the Content Posting API, and the account's own list of videos.

Its paths are those of www.tiktok.com and open.tiktokapis.com, all below ``/tiktok``.
"""

from __future__ import annotations

from .vendor import TikTok


__all__ = ["TikTok"]
