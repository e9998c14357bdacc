"""What the collectors ask, against what the platforms have published."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from discovery import discovery, faults, request_faults
from nexus_actors.analytics import Access
from nexus_actors.analytics.adapters.facebook import FacebookCollector
from nexus_actors.analytics.adapters.youtube import YouTubeCollector
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.testing.sandbox import SandboxClient
from publishing import TOKENS


#: Which of Google's documents has a path, how the path begins there, and what each call
#: is answered with.
DOCUMENTS = {
    "/youtube/youtube/v3/": ("youtube.v3", "youtube/v3/"),
    "/youtube/v2/": ("youtubeAnalytics.v2", "v2/"),
}
ANSWERS = {
    "youtube/v3/channels": "ChannelListResponse",
    "youtube/v3/playlistItems": "PlaylistItemListResponse",
    "youtube/v3/videos:batchGetStats": "BatchGetStatsResponse",
    "v2/reports": "QueryResponse",
}


def test_youtube_is_asked_and_answers_as_its_discovery_documents_say(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_SANDBOX_URL", nexus_sandbox.url)
    monkeypatch.setenv("NEXUS_GUARD_ALLOW", "127.0.0.1")
    ids = nexus_sandbox.plant("youtube", 60, days=30)
    collector = YouTubeCollector()
    access = Access(
        make_client=collector.make_client,
        platforms=PlatformSettings.load(),
        token=TOKENS["youtube"][0],
    )
    account, _ = collector.read_account(access)
    page = collector.list_posts(access, account, None)
    collector.list_posts(access, account, page.cursor)
    today = datetime.now(UTC).date()
    since, until = today - timedelta(days=9), today - timedelta(days=1)
    collector.read_days(access, account, since=since, until=until, posts=ids)

    asked = nexus_sandbox.requests()

    assert {path_of(one) for one in asked} == ANSWERS.keys()
    for one in asked:
        document, path = discovery(document_of(one)), path_of(one)
        query = parse_qs(one["query"], keep_blank_values=True)
        assert request_faults(document, one["method"], path, query) == []
        told, schemas = json.loads(one["answer"]), document["schemas"]
        assert faults(told, schemas[ANSWERS[path]], schemas, path) == []


def document_of(request: dict[str, Any]) -> str:
    return next(d for p, (d, _) in DOCUMENTS.items() if request["path"].startswith(p))


def path_of(request: dict[str, Any]) -> str:
    for prefix, (_, path) in DOCUMENTS.items():
        if request["path"].startswith(prefix):
            return path + str(request["path"]).removeprefix(prefix)
    raise AssertionError(request["path"])


def test_a_version_that_is_served_by_another_is_told(
    nexus_sandbox: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("NEXUS_SANDBOX_URL", nexus_sandbox.url)
    monkeypatch.setenv("NEXUS_GUARD_ALLOW", "127.0.0.1")
    collector, told = FacebookCollector(), []
    for version in ("v26.0", "v19.0"):
        monkeypatch.setenv("NEXUS_META_VERSION", version)
        access = Access(
            make_client=collector.make_client,
            platforms=PlatformSettings.load(),
            token=TOKENS["facebook"][0],
        )
        collector.read_account(access)
        told.append("version_expired" in caplog.text)

    assert told == [False, True]


def test_a_request_that_no_document_has_is_found() -> None:
    document = discovery("youtubeAnalytics.v2")
    good = {
        "ids": ["channel==MINE"],
        "startDate": ["2026-11-01"],
        "endDate": ["2026-11-02"],
        "metrics": ["views"],
    }

    def wrong(**changes: list[str]) -> list[str]:
        return request_faults(document, "GET", "v2/reports", good | changes)

    assert wrong() == []
    assert wrong(metrics=["views,likes"], dimensions=["video,day"]) == []
    assert wrong(metric=["views"]) == ["metric: unknown"]
    assert len(wrong(startDate=["yesterday"], ids=["mine"])) == 2
    assert request_faults(document, "GET", "v1/reports", good)
