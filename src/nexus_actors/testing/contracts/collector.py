"""The promises of `Collector`; needs the extras ``analytics`` and ``web``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

import pytest

from nexus_actors.analytics import Access, Collector, PostReading, State, collectors
from nexus_actors.analytics.metrics import METRICS
from nexus_actors.core.errors import AuthorizationError
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.base import Vendor
from nexus_actors.testing.sandbox import SandboxClient


#: By how much the platform's clock is moved: less than the life of a token.
LATER_S: Final = 1800


class CollectorContract:
    """Inherit, name the adapter and who plays its platform, and make posts there.

    Attributes:
        adapter: The collector, registered by its entry point.
        vendor: Plays the platform; see `nexus_actors.sandbox`.
        quick: Settings of the vendor by which nothing takes time.
        access_token: One that the vendor takes.
    """

    adapter: ClassVar[type[Collector]]
    vendor: ClassVar[type[Vendor[Any]]]
    quick: ClassVar[dict[str, Any]] = {}
    access_token: ClassVar[str]

    @pytest.fixture
    def platform(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[SandboxClient]:
        """The platform, where nothing was posted yet; what is ours is in a folder."""
        with running(Sandbox(vendors=[self.vendor])) as url:
            monkeypatch.setenv("NEXUS_SANDBOX_URL", url)
            monkeypatch.setenv("NEXUS_GUARD_ALLOW", "127.0.0.1")
            monkeypatch.setenv("NEXUS_TEMP_DIR", str(tmp_path / "tmp"))
            database = f"sqlite:///{tmp_path / 'nexus.db'}"
            monkeypatch.setenv("NEXUS_DATABASE_URL", database)
            client = SandboxClient(url)
            client.settings(**{self.vendor.name: self.quick})
            yield client
            client.close()

    @pytest.fixture
    def posts(self, platform: SandboxClient) -> list[str]:
        """Override it: make two posts or more, and return their ids, oldest first."""
        raise NotImplementedError

    def access(self, token: str | None = None) -> Access:
        """Return what acts for the account."""
        return Access(
            make_client=self.adapter.make_client,
            platforms=PlatformSettings.load(),
            token=token or self.access_token,
        )

    def test_it_is_registered_under_its_name(self) -> None:
        assert collectors.get(self.adapter.name) is self.adapter

    def test_figures_are_whole_numbers_or_say_why_there_are_none(
        self, posts: list[str]
    ) -> None:
        found = self.adapter().read_posts(self.access(), posts)

        assert {post.id for post in found} == {*posts}
        for post in found:
            assert post.published_at
            assert post.published_at.tzinfo
            assert isinstance(post.values["views"], int | State)
            for name, value in post.values.items():
                assert name in METRICS
                assert isinstance(value, State) or (type(value) is int and value >= 0)

    def test_figures_are_those_of_now(
        self, platform: SandboxClient, posts: list[str]
    ) -> None:
        def views() -> list[int]:
            found = self.adapter().read_posts(self.access(), posts)
            values = {post.id: post.values["views"] for post in found}
            return [int(values[id_]) for id_ in posts]

        before = views()
        platform.set_clock(LATER_S)

        after = views()
        assert sum(after) > sum(before)
        assert all(n >= b for n, b in zip(after, before, strict=True))

    def test_a_list_has_all_posts_the_newest_first(self, posts: list[str]) -> None:
        collector, access = self.adapter(), self.access()
        account, _ = collector.read_account(access)

        found: list[PostReading] = []
        cursor = None
        while True:
            page = collector.list_posts(access, account, cursor)
            found += page.posts
            cursor = page.cursor
            if cursor is None:
                break

        assert [post.id for post in found] == posts[::-1]

    def test_posts_that_are_not_there_are_left_out_of_the_largest_batch(
        self, posts: list[str]
    ) -> None:
        strange = [f"nobody{number}" for number in range(self.adapter.batch - 1)]

        found = self.adapter().read_posts(self.access(), [*strange, posts[0]])

        assert [post.id for post in found] == posts[:1]

    def test_an_account_has_an_id_and_levels(self, posts: list[str]) -> None:
        account, reading = self.adapter().read_account(self.access())

        assert account
        assert int(reading.values["followers"]) > 0
        assert reading.values.get("posts", len(posts)) == len(posts)

    def test_days_are_some_of_those_that_were_asked_for(self, posts: list[str]) -> None:
        collector, access = self.adapter(), self.access()
        account, _ = collector.read_account(access)
        today = datetime.now(ZoneInfo(collector.day_zone)).date()
        since, until = today - timedelta(days=6), today - timedelta(days=3)

        found = collector.read_days(
            access, account, since=since, until=until, posts=posts
        )

        assert all(since <= one.day <= until for one in found)
        assert {one.post for one in found} <= {None, *posts}
        for one in found:
            for name, value in one.values.items():
                assert name in METRICS
                assert isinstance(value, State) or type(value) is int

    @pytest.mark.usefixtures("platform")
    def test_a_token_that_is_not_good_is_told_as_such(self) -> None:
        bad = "not-a-token-of-anybody"

        with pytest.raises(AuthorizationError) as caught:
            self.adapter().read_account(self.access(bad))

        assert bad not in str(caught.value)
