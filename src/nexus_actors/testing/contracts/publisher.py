"""The promises of `Publisher`; needs the extras ``social`` and ``web``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    InvalidRequestError,
    Postponed,
    TransientError,
)
from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.base import Vendor
from nexus_actors.social import Publisher, publish_post, publishers
from nexus_actors.testing.sandbox import SandboxClient


#: How often a publication is run until it rests.
RUNS: Final = 60


class PublisherContract:
    """Inherit, name the adapter, who plays its platform, and one post that is good.

    Attributes:
        adapter: The publisher, registered by its entry point.
        vendor: Plays the platform; see `nexus_actors.sandbox`.
        quick: Settings of the vendor by which nothing takes time.
        access_token: One that the vendor takes.
        content: What is posted.
        settings: How.
        refused: Content that the platform is known not to take.
    """

    adapter: ClassVar[type[Publisher]]
    vendor: ClassVar[type[Vendor[Any]]]
    quick: ClassVar[dict[str, Any]] = {}
    access_token: ClassVar[str]
    content: ClassVar[dict[str, Any]]
    settings: ClassVar[dict[str, Any]] = {}
    refused: ClassVar[dict[str, Any]]

    @pytest.fixture
    def platform(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[SandboxClient]:
        """The platform, where nothing was posted yet; what is ours is in a folder."""
        with running(Sandbox(vendors=[self.vendor])) as url:
            for name, value in {
                "NEXUS_SANDBOX_URL": url,
                "NEXUS_DATABASE_URL": f"sqlite:///{tmp_path / 'nexus.db'}",
                "NEXUS_TEMP_DIR": str(tmp_path / "tmp"),
                "NEXUS_STORAGE_URL": str(tmp_path / "storage"),
                "NEXUS_GUARD_ALLOW": "127.0.0.1",
                "NEXUS_SOCIAL_CHUNK_BYTES": "262144",
                clock.VARIABLE: str(tmp_path / "clock"),
            }.items():
                monkeypatch.setenv(name, value)
            client = SandboxClient(url)
            client.settings(**{self.vendor.name: self.quick})
            yield client
            client.close()

    @pytest.fixture
    def files(self) -> dict[str, str]:
        """What stands for ``{name}`` in the content, such as the path of a film."""
        return {}

    def post(self, files: dict[str, str], **changes: Any) -> dict[str, Any]:
        """Publish the post as a worker would; return the publication."""
        message = {
            "platform": self.adapter.name,
            "credentials": {"access_token": self.access_token},
            "content": _filled(self.content, files),
            "settings": self.settings,
            **changes,
        }
        return until_it_rests(lambda: publish_post(**message))

    def test_it_is_registered_under_its_name(self) -> None:
        assert publishers.get(self.adapter.name) is self.adapter

    def test_a_post_is_published_once_however_often_it_is_sent(
        self, platform: SandboxClient, files: dict[str, str]
    ) -> None:
        first, second = self.post(files), self.post(files)

        assert first["state"] == "published"
        assert first["remote_id"]
        assert second["id"] == first["id"]
        assert len(platform.truth()[self.vendor.name]) == 1

    def test_whichever_answer_is_lost_there_is_one_post_or_the_record_says_so(
        self, platform: SandboxClient, files: dict[str, str]
    ) -> None:
        self.post(files, idempotency_key="undisturbed")
        requests = len(platform.requests())

        for number in range(1, requests + 1):
            platform.reset()
            platform.settings(**{self.vendor.name: self.quick})
            platform.faults({"action": "drop", "moment": "after", "nth": number})
            record = self.post(files, idempotency_key=f"request-{number}")
            posts = len(platform.truth()[self.vendor.name])

            assert (record["state"], posts) in {
                ("published", 1),
                ("unconfirmed", 0),
                ("unconfirmed", 1),
            }, f"request {number}: {record}"

    def test_a_token_that_is_not_good_is_told_as_such_and_nothing_is_posted(
        self, platform: SandboxClient, files: dict[str, str]
    ) -> None:
        bad = {"access_token": "not-a-token-of-anybody"}

        with pytest.raises(AuthorizationError) as caught:
            self.post(files, credentials=bad)

        assert caught.value.code in {
            "authorization",
            "needs_reauthorization",
            "token_expired",
        }
        assert bad["access_token"] not in str(caught.value)
        assert platform.truth()[self.vendor.name] == []

    def test_what_is_known_to_be_wrong_is_refused_before_any_request(
        self, platform: SandboxClient, files: dict[str, str]
    ) -> None:
        with pytest.raises(InvalidRequestError):
            self.post(files, content=_filled(self.refused, files))

        assert platform.requests() == []


def until_it_rests(run: Callable[[], Any]) -> dict[str, Any]:
    """Run again after each wait; return the last result.

    Where the clock can be moved (``NEXUS_CLOCK_FILE``), no wait takes time.

    Raises:
        NexusError: It has failed for good.
        TimeoutError: It never rests.
    """
    for _ in range(RUNS):
        try:
            found: dict[str, Any] = run()
        except Postponed as error:
            _move_to(error.until)
        except TransientError:
            _move_to(clock.now() + timedelta(minutes=1))
        else:
            return found
    raise TimeoutError(f"the publication does not rest in {RUNS} runs")


def _move_to(instant: datetime) -> None:
    left = (instant - clock.now()).total_seconds()
    if not os.environ.get(clock.VARIABLE):
        clock.sleep(left)
    elif left > 0:
        moved = (clock.now() - datetime.now(UTC)).total_seconds()
        clock.move(moved + left + 0.01)


def _filled(value: Any, files: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, files) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, files) for item in value]
    return value.format(**files) if isinstance(value, str) else value
