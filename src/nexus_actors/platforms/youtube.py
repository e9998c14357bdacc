"""YouTube: the Data API's client, and what its refusals mean.

Source: YouTube Data API v3, pages "Errors", "Quota Calculator" and "Resumable Uploads".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from zoneinfo import ZoneInfo

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.errors import NexusError
from nexus_actors.core.http import Answer, ApiClient

from .settings import PlatformSettings
from .verdicts import Verdict, body_of, error_of, field


API_HOST: Final = "www.googleapis.com"

AUTH: Final = "https://www.googleapis.com/auth/"
UPLOAD: Final = AUTH + "youtube.upload"
MANAGE: Final = AUTH + "youtube"
FORCE_SSL: Final = AUTH + "youtube.force-ssl"
READONLY: Final = AUTH + "youtube.readonly"
ANALYTICS: Final = AUTH + "yt-analytics.readonly"

#: Where the day of the quotas begins.
PACIFIC: Final = ZoneInfo("America/Los_Angeles")

#: The reason in the body, and what it means.
REASONS: Final[Mapping[str, Verdict]] = {
    "accessNotConfigured": Verdict.APP,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": Verdict.REAUTHORIZE,
    "accountDelegationForbidden": Verdict.PERSON,
    "authError": Verdict.EXPIRED,
    "authenticatedUserAccountClosed": Verdict.PERSON,
    "authenticatedUserAccountSuspended": Verdict.PERSON,
    "backendError": Verdict.RETRY,
    "dailyLimitExceeded": Verdict.LIMITED,
    "forbidden": Verdict.PERSON,
    "forbiddenLicenseSetting": Verdict.CONTENT,
    "forbiddenPrivacySetting": Verdict.CONTENT,
    "insufficientPermissions": Verdict.REAUTHORIZE,
    "internalError": Verdict.RETRY,
    "quotaExceeded": Verdict.LIMITED,
    "rateLimitExceeded": Verdict.LIMITED,
    "uploadLimitExceeded": Verdict.LIMITED,
    "uploadRateLimitExceeded": Verdict.LIMITED,
    "userRateLimitExceeded": Verdict.LIMITED,
    "youtubeSignupRequired": Verdict.PERSON,
}

#: How the reasons begin that are told of what we have sent.
OURS: Final = ("invalid", "default", "required")

#: What is limited until the quotas' day ends, and what for a day from now.
UNTIL_MIDNIGHT: Final = {"quotaExceeded", "dailyLimitExceeded"}
FOR_A_DAY: Final = {"uploadLimitExceeded"}


class YouTubeClient(ApiClient):
    """Reads the reason in the body."""

    @override
    def judge(self, answer: Answer) -> NexusError | None:
        if answer.status in answer.call.accept:
            return None
        error = field(body_of(answer), "error")
        reason = field(error, "errors", 0, "reason")
        verdict = REASONS.get(str(reason))
        if answer.status < HTTPStatus.BAD_REQUEST:
            return super().judge(answer)
        if verdict is None and answer.status == HTTPStatus.UNAUTHORIZED:
            verdict = Verdict.EXPIRED  # also of ``required``, which a 400 has, too
        if verdict is None and str(reason).startswith(OURS):
            verdict = Verdict.CONTENT
        if verdict is None:
            refused = super().judge(answer)
            if refused and reason:
                refused.details["reason"] = reason
            return refused
        words = f"{field(error, 'message')} ({reason})"
        return error_of(verdict, answer, words, until=_until(reason), reason=reason)

    @override
    def request_id(self, answer: Answer) -> str | None:
        return answer.headers.get("X-GUploader-UploadID")


def client(settings: PlatformSettings, token: str) -> YouTubeClient:
    """Return a client that acts for the owner of *token*."""
    return YouTubeClient(
        name="YouTube",
        base_url=settings.at("youtube", API_HOST),
        headers={"Authorization": f"Bearer {token}"},
    )


def midnight(now: datetime) -> datetime:
    """Return when the quotas' day after *now* begins."""
    tomorrow = now.astimezone(PACIFIC).date() + timedelta(days=1)
    begins = datetime.combine(tomorrow, datetime.min.time(), PACIFIC)
    return begins.astimezone(now.tzinfo)


def _until(reason: str) -> datetime | None:
    now = clock.now()
    if reason in UNTIL_MIDNIGHT:
        return midnight(now)
    return now + timedelta(days=1) if reason in FOR_A_DAY else None
