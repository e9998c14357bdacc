"""Flows that publish one post to the sandbox, and what is demanded of them.

A flow runs as a worker would: again after each wait and each failure that may pass.
Its clock is moved to the end of every wait, so that none takes time.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - loaded once, before a flow is forked
import psycopg  # noqa: F401 - likewise
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite  # noqa: F401 - likewise

from nexus_actors.core import tables
from nexus_actors.core.credentials import Credential, DatabaseCredentialStore
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.errors import PermanentError
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.core.settings import CoreSettings
from nexus_actors.social.actors import publish_post
from nexus_actors.social.base import publishers
from nexus_actors.social.desk import Desk
from nexus_actors.testing.contracts.publisher import until_it_rests


for _name in publishers.known:
    publishers.get(_name)

KEY = "c2VjcmV0LWtleS1vZi10aGUtdGVzdHMtMzItYnl0ZXM="

#: The tokens of the sandbox's accounts, by platform: access, refresh, life in seconds.
TOKENS: dict[str, tuple[str, str | None, int | None]] = {
    "youtube": ("ya29.sandbox-access-token", "1//sandbox-refresh-token", 3599),
    "tiktok": ("act.sandbox-access-token", "rft.sandbox-refresh-token", 7200),
    "instagram": ("IGAA-sandbox-access-token", None, 5_184_000),
    "facebook": ("EAA-sandbox-page-token", "EAA-sandbox-user-token", None),
}

#: Our apps at the sandbox.
APPS = {
    "YOUTUBE_CLIENT_ID": "sandbox.apps.googleusercontent.com",
    "YOUTUBE_CLIENT_SECRET": "GOCSPX-sandbox",
    "YOUTUBE_REDIRECT_URI": "https://app.example/callback",
    "TIKTOK_CLIENT_ID": "sandbox-tiktok-key",
    "TIKTOK_CLIENT_SECRET": "sandbox-tiktok-secret",
    "TIKTOK_REDIRECT_URI": "https://app.example/callback",
    "INSTAGRAM_CLIENT_ID": "140000000000001",
    "INSTAGRAM_CLIENT_SECRET": "sandbox-instagram-secret",
    "INSTAGRAM_REDIRECT_URI": "https://app.example/callback",
    "FACEBOOK_CLIENT_ID": "130000000000001",
    "FACEBOOK_CLIENT_SECRET": "sandbox-facebook-secret",
    "FACEBOOK_REDIRECT_URI": "https://app.example/callback",
}

#: How the sandbox is made quick.
QUICK: dict[str, dict[str, Any]] = {
    "youtube": {"processing_s": 0},
    "tiktok": {"processing_s": 0, "moderation_s": 0},
    "instagram": {"processing_s": 0},
    "facebook": {"processing_s": 0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a flow publishes; ``{clip}`` and its like stand for files of the test."""

    platform: str
    content: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


POSTS: dict[str, Post] = {}


def add(route: str, platform: str, **content: Any) -> None:
    settings = content.pop("settings", {})
    POSTS[route] = Post(platform=platform, content=content, settings=settings)


add(
    "youtube_video",
    "youtube",
    video_path="{clip}",
    title="A film",
    description="Of ours",
    settings={"privacy": "public"},
)


_TEXT = {"title": "A post", "description": "Of ours, with a #tag"}
_PUBLIC = {"privacy": "PUBLIC", "allow_comments": True}
_PULL = _PUBLIC | {"transfer": "url"}
_PHOTOS = ["{web}/photo.jpg", "{web}/photo2.jpg"]

add("tiktok_video", "tiktok", video_path="{clip}", **_TEXT, settings=_PUBLIC)
add("tiktok_url", "tiktok", video_path="{web}/clip.mp4", **_TEXT, settings=_PULL)
add("tiktok_photo", "tiktok", image_paths=_PHOTOS, **_TEXT, settings=_PUBLIC)
add(
    "tiktok_photo_draft",
    "tiktok",
    image_paths=_PHOTOS,
    **_TEXT,
    settings={"kind": "draft"},
)
add("tiktok_draft", "tiktok", video_path="{clip}", settings={"kind": "draft"})
add("instagram_reel", "instagram", video_path="{clip}", **_TEXT)
add(
    "instagram_url",
    "instagram",
    video_path="{web}/clip.mp4",
    **_TEXT,
    settings={"transfer": "url"},
)
add("instagram_photo", "instagram", image_paths=_PHOTOS[:1], **_TEXT)
add("instagram_carousel", "instagram", image_paths=_PHOTOS, **_TEXT)
add("instagram_story", "instagram", video_path="{clip}", settings={"kind": "story"})
add("facebook_video", "facebook", video_path="{clip}", **_TEXT)
add(
    "facebook_reel", "facebook", video_path="{tall}", **_TEXT, settings={"kind": "reel"}
)
add("facebook_photo", "facebook", image_paths=["{photo}"], **_TEXT)
add("facebook_link", "facebook", link="https://example.com/", **_TEXT)


def make_photo(path: Path, size: str = "320x320") -> bytes:
    """Make a picture at *path*; return it."""
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=1:duration=1"]
    subprocess.run(
        ["ffmpeg", "-v", "error", *source, "-frames:v", "1", str(path)], check=True
    )
    return path.read_bytes()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a flow keeps its state: a folder with database, clock and files."""

    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'nexus.db'}"

    def environ(self, sandbox: str, files: dict[str, Path]) -> dict[str, str]:
        """Return the environment of a flow."""
        return {
            **os.environ,
            **APPS,
            "NEXUS_SANDBOX_URL": sandbox,
            "DATABASE_URL": self.url,
            "TEMP_DIR": str(self.folder / "tmp"),
            "STORAGE_URL": str(self.folder / "storage"),
            "NEXUS_SECRET_KEY": KEY,
            "NEXUS_CLOCK_FILE": str(self.folder / "clock"),
            "NEXUS_SOCIAL_CHUNK_BYTES": "262144",
            "NEXUS_GUARD_ALLOW": "127.0.0.1",
            "LOG_LEVEL": "ERROR",
            **{f"FILE_{name.upper()}": str(path) for name, path in files.items()},
        }

    def empty(self) -> None:
        """Forget all but the accounts of the sandbox."""
        (self.folder / "clock").unlink(missing_ok=True)
        database = Database.open(CoreSettings.load({"database_url": self.url}))
        upgrade(database)
        with database.begin() as connection:
            for table in (tables.publications, tables.accounts, tables.ledger):
                connection.execute(table.delete())
        store = DatabaseCredentialStore(database, Keyring(Secret(KEY)))
        for platform in TOKENS:
            store.put(platform, "creator", credential(platform))
        database.close()

    def record(self) -> dict[str, Any]:
        """Return the one publication's state and remote id, as they are written."""
        with closing(sqlite3.connect(self.folder / "nexus.db")) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM nexus_publications").fetchall()
        assert len(rows) <= 1
        return dict(rows[0]) if rows else {"state": "none"}


def credential(platform: str) -> Credential:
    access, refresh, life = TOKENS[platform]
    now = datetime.now(UTC)
    return Credential(
        access_token=Secret(access),
        refresh_token=Secret(refresh) if refresh else None,
        obtained_at=now,
        expires_at=now + timedelta(seconds=life) if life else None,
    )


def body(route: str) -> dict[str, Any]:
    """Return the message of a route, with the files of the environment."""
    post = POSTS[route]

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            for name, path in os.environ.items():
                if name.startswith("FILE_"):
                    word = "{" + name.removeprefix("FILE_").lower() + "}"
                    value = value.replace(word, path)
            return value
        if isinstance(value, list):
            return [filled(item) for item in value]
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return value

    return {
        "platform": post.platform,
        "account": "creator",
        "content": filled(post.content),
        "settings": post.settings,
    }


def publish(route: str) -> dict[str, Any]:
    try:
        return until_it_rests(lambda: publish_post(**body(route)))
    except PermanentError as error:  # the record says so
        return {"error": error.code, "message": error.message}


def flow() -> None:
    """Publish the post of the route that the environment names."""
    publish(os.environ["ROUTE"])


def renew_flow() -> None:
    """Renew the rejected token of the platform that the environment names."""
    platform = os.environ["ROUTE"]
    tokens = replace(Desk.open().accounts(), apart=bool(os.environ["APART"]))
    rejected = TOKENS[platform][0]

    def renew() -> dict[str, Any]:
        return {"version": tokens.renew(platform, "creator", rejected=rejected).version}

    try:
        until_it_rests(renew)
    except PermanentError:  # the account says so
        return
