"""One reading of an account: its levels, its posts, and what it says of its days.

What was read is written at once, part by part.  So whoever has to stop in between, for
a budget or a platform that is away, goes on where it was: the list by its cursor, and
named posts with those that were not read since the round began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from nexus_actors.core import clock
from nexus_actors.core.errors import AuthorizationError, RejectedError
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import jobs
from nexus_actors.engine.instruments import counter

from .base import Access, Collector, collectors
from .readings import PostReading
from .refusals import Refusals
from .snapshots import Owner, Snapshots
from .watching import Watching


log = get_logger(__name__)

COLLECTED: Final = counter(
    "nexus_analytics_records_collected_total",
    "Posts of which figures were read, and days of which a platform has told",
    platform=collectors.known,
)

#: How many days are read again each time, since late figures change them; and how many
#: when an account is new.
LATE_DAYS: Final = 4
FIRST_DAYS: Final = 30


@dataclass(slots=True, kw_only=True)
class Round:
    """One reading of an account; *remote* is the platform's id of it."""

    collector: Collector
    access: Access
    snapshots: Snapshots
    watching: Watching
    owner: Owner
    remote: str
    _noted: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        refused = self.watching.note(self.owner.id, "refusals")
        self.access.refusals = Refusals(dict(refused))
        job = jobs.running()
        noted = self.watching.note(self.owner.id, "round") if job else {}
        if job and noted.get("job") == job.id:
            self._noted = noted
        else:
            self._noted = {"job": job and job.id, "since_ms": clock.now_ms()}

    def named(self, ids: Sequence[str]) -> tuple[int, list[str]]:
        """Read posts by their ids; return how many there are, and which are not."""
        self.note()
        known = self.watching.known(self.owner.id, ids)
        self.access.formats = {id_: kind for id_, (kind, _) in known.items() if kind}
        since: int = self._noted["since_ms"]
        done = {id_ for id_, (_, seen_ms) in known.items() if seen_ms >= since}
        count, missing = len(done), list[str]()
        left = [id_ for id_ in ids if id_ not in done]
        for at in range(0, len(left), self.collector.batch):
            self.access.stop()
            part, now = left[at : at + self.collector.batch], clock.now()
            posts = self.collector.read_posts(self.access, part)
            gone = sorted({*part} - {post.id for post in posts})
            self._write(posts, now, gone)
            count, missing = count + len(posts), missing + gone
        return count, missing

    def listed(self, days: int, *, until_known: bool = False) -> int:
        """Read the newest posts; return how many.

        Args:
            days: How old they may be.
            until_known: Whether to end with the first part that has no new post.
        """
        oldest = clock.now() - timedelta(days=days)
        count: int = self._noted.get("count", 0)
        cursor: str | None = self._noted.get("cursor")
        while True:
            self.note(cursor=cursor, count=count)
            self.access.stop()
            now = clock.now()
            page = self.collector.list_posts(self.access, self.remote, cursor)
            new = [
                p for p in page.posts if not p.published_at or p.published_at >= oldest
            ]
            known = self.watching.known(self.owner.id, [post.id for post in new])
            self._write(new, now)
            count += len(new)
            if page.cursor is None or len(new) < len(page.posts):
                return count
            if until_known and len(known) == len(new):
                return count
            cursor = page.cursor

    def days(self, *, first: bool, posts: Sequence[str] = ()) -> int:
        """Read what the platform itself says of the last days; return how many."""
        now = clock.now()
        today = now.astimezone(ZoneInfo(self.collector.day_zone)).date()
        since = today - timedelta(days=FIRST_DAYS if first else LATE_DAYS)
        try:
            found = self.collector.read_days(
                self.access,
                self.remote,
                since=since,
                until=today - timedelta(days=1),
                posts=posts,
            )
        except (AuthorizationError, RejectedError) as error:
            # a permission of its own, or an account that is too small
            log.warning(
                "analytics.days_not_told",
                platform=self.owner.platform,
                reason=error.message,
            )
            return 0
        self.snapshots.write_days(self.owner, found, at=now)
        COLLECTED.inc(len(found), platform=self.owner.platform)
        return len({day.day for day in found if day.post is None})

    def _write(
        self, posts: Sequence[PostReading], at: datetime, gone: Sequence[str] = ()
    ) -> None:
        self.snapshots.write(self.owner, posts, at=at, gone=gone)
        COLLECTED.inc(len(posts), platform=self.owner.platform)

    def note(self, **more: Any) -> None:
        """Note how far this is, for the next run of the job; and what was refused."""
        self._noted |= more
        self.watching.write(
            self.owner.id,
            round=self._noted if self._noted["job"] else None,
            refusals=self.access.refusals.until_ms or None,
        )

    def close(self) -> None:
        """Note what was refused, and that nothing is left to do."""
        refused = self.access.refusals.until_ms or None
        self.watching.write(self.owner.id, round=None, refusals=refused)
