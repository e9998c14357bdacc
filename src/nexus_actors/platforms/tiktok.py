"""TikTok: the client of the v2 API, and what its refusals mean.

Source: TikTok for Developers, "Content Posting API" and "v2 Error Handling".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.errors import NexusError
from nexus_actors.core.http import Answer, ApiClient

from .settings import PlatformSettings
from .verdicts import Verdict, body_of, error_of, field


API_HOST: Final = "open.tiktokapis.com"

#: The code in the body, and what it means.
CODES: Final[Mapping[str, Verdict]] = {
    "access_token_invalid": Verdict.EXPIRED,
    "app_version_check_failed": Verdict.PERSON,
    "internal_error": Verdict.RETRY,
    "invalid_file_upload": Verdict.CONTENT,
    "invalid_param": Verdict.CONTENT,
    "invalid_params": Verdict.CONTENT,
    "privacy_level_option_mismatch": Verdict.CONTENT,
    "rate_limit_exceeded": Verdict.LIMITED,
    "reached_active_user_cap": Verdict.LIMITED,
    "scope_not_authorized": Verdict.REAUTHORIZE,
    "scope_permission_missed": Verdict.REAUTHORIZE,
    "spam_risk": Verdict.PERSON,
    "spam_risk_text": Verdict.PERSON,
    "spam_risk_too_many_pending_share": Verdict.LIMITED,
    "spam_risk_too_many_posts": Verdict.LIMITED,
    "spam_risk_user_banned_from_posting": Verdict.PERSON,
    "unaudited_client_can_only_post_to_private_accounts": Verdict.APP,
    "url_ownership_unverified": Verdict.APP,
}

#: Limits that are not over within a minute.
FOR_A_DAY: Final = {
    "reached_active_user_cap",
    "spam_risk_too_many_pending_share",
    "spam_risk_too_many_posts",
}

#: The reason of a post that failed after it was sent: nothing was posted.
FAIL_REASONS: Final[Mapping[str, Verdict]] = {
    "auth_removed": Verdict.REAUTHORIZE,
    "duration_check_failed": Verdict.CONTENT,
    "file_format_check_failed": Verdict.CONTENT,
    "frame_rate_check_failed": Verdict.CONTENT,
    "internal": Verdict.LOST,
    "photo_pull_failed": Verdict.LOST,
    "picture_size_check_failed": Verdict.CONTENT,
    "spam_risk": Verdict.PERSON,
    "spam_risk_text": Verdict.PERSON,
    "spam_risk_too_many_posts": Verdict.LIMITED,
    "spam_risk_user_banned_from_posting": Verdict.PERSON,
    "video_pull_failed": Verdict.LOST,
}


class TikTokClient(ApiClient):
    """Reads the verdict in the body: a 200 can carry an error."""

    @override
    def judge(self, answer: Answer) -> NexusError | None:
        if answer.status in answer.call.accept:
            return None
        error = field(body_of(answer), "error")
        code = field(error, "code")
        if code in {None, "ok"}:
            return super().judge(answer)
        verdict = CODES.get(str(code))
        if verdict is None:
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                verdict = Verdict.RETRY
            elif answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                verdict = Verdict.LIMITED
            else:
                verdict = Verdict.CONTENT
        words = f"{field(error, 'message')} ({code})"
        return error_of(verdict, answer, words, until=until_of(str(code)), reason=code)

    @override
    def request_id(self, answer: Answer) -> str | None:
        found = field(body_of(answer), "error", "log_id")
        return None if found is None else str(found)


def client(settings: PlatformSettings, token: str) -> TikTokClient:
    """Return a client that acts for the owner of *token*."""
    return TikTokClient(
        name="TikTok",
        base_url=settings.at("tiktok", API_HOST),
        headers={"Authorization": f"Bearer {token}"},
    )


def until_of(code: str) -> datetime | None:
    """Return until when a limit holds that is not over within a minute."""
    return clock.now() + timedelta(days=1) if code in FOR_A_DAY else None
