"""Instagram and Facebook: the client of the Graph API, and what its refusals mean.

Source: Meta for Developers, "Handling Errors", "Instagram Platform: Error Codes",
"Video API: Error Codes" and "Rate Limits".
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    ConfigurationError,
    NexusError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.logs import get_logger

from .limits import Per, Usage
from .settings import PlatformSettings
from .verdicts import Verdict, body_of, error_of, field


log = get_logger(__name__)

#: The sub-code, and what it means; it comes before the code.
SUBCODES: Final[Mapping[int, Verdict]] = {
    # sessions, of code 190
    459: Verdict.PERSON,
    464: Verdict.PERSON,
    # Instagram
    2207001: Verdict.RETRY,
    2207003: Verdict.LOST,
    2207004: Verdict.CONTENT,
    2207005: Verdict.CONTENT,
    2207006: Verdict.LOST,
    2207008: Verdict.LOST,
    2207009: Verdict.CONTENT,
    2207010: Verdict.CONTENT,
    2207020: Verdict.LOST,
    2207023: Verdict.CONTENT,
    2207026: Verdict.CONTENT,
    2207027: Verdict.NOT_READY,
    2207028: Verdict.CONTENT,
    2207032: Verdict.LOST,
    2207035: Verdict.CONTENT,
    2207036: Verdict.CONTENT,
    2207037: Verdict.CONTENT,
    2207040: Verdict.CONTENT,
    2207042: Verdict.LIMITED,
    2207050: Verdict.PERSON,
    2207051: Verdict.UNKNOWN,  # suspected spam; seen on posts that did go live
    2207052: Verdict.LOST,
    2207053: Verdict.LOST,
    2207057: Verdict.CONTENT,
    2207077: Verdict.LOST,
    2207081: Verdict.CONTENT,
    2207082: Verdict.LOST,
    # Facebook
    1346003: Verdict.CONTENT,
    1363019: Verdict.RETRY,
    1363021: Verdict.RETRY,
    1363022: Verdict.CONTENT,
    1363023: Verdict.CONTENT,
    1363030: Verdict.UNKNOWN,  # also of a video that was published already
    1363033: Verdict.LOST,
    1363040: Verdict.CONTENT,
    1363041: Verdict.LOST,
    1363042: Verdict.REAUTHORIZE,
    1363047: Verdict.RETRY,
    1363127: Verdict.CONTENT,
    1363128: Verdict.CONTENT,
    1363129: Verdict.CONTENT,
    1366046: Verdict.CONTENT,
    1366051: Verdict.UNKNOWN,  # photos that were posted already
    1390008: Verdict.LIMITED,
    1404006: Verdict.PERSON,
    1404078: Verdict.PERSON,
    1404102: Verdict.CONTENT,
    1404112: Verdict.PERSON,
    1609005: Verdict.CONTENT,
    1609008: Verdict.CONTENT,
    1609010: Verdict.RETRY,
    2061006: Verdict.CONTENT,
    2069019: Verdict.CONTENT,
    4854002: Verdict.PERSON,
}

#: The code, and what it means.
CODES: Final[Mapping[int, Verdict]] = {
    1: Verdict.RETRY,
    2: Verdict.RETRY,
    3: Verdict.APP,
    4: Verdict.LIMITED,
    9: Verdict.LIMITED,
    10: Verdict.REAUTHORIZE,
    17: Verdict.LIMITED,
    32: Verdict.LIMITED,
    100: Verdict.CONTENT,
    102: Verdict.REAUTHORIZE,
    104: Verdict.REAUTHORIZE,
    190: Verdict.EXPIRED,
    324: Verdict.CONTENT,
    341: Verdict.LIMITED,
    351: Verdict.CONTENT,
    352: Verdict.CONTENT,
    368: Verdict.PERSON,
    382: Verdict.CONTENT,
    389: Verdict.CONTENT,
    506: Verdict.UNKNOWN,  # the same post twice: perhaps ours went live
    613: Verdict.LIMITED,
    6000: Verdict.CONTENT,
    6001: Verdict.CONTENT,
    80001: Verdict.LIMITED,
    80002: Verdict.LIMITED,
}

#: The codes of permissions that are missing.
PERMISSIONS: Final = range(200, 300)

#: The headers that tell of an allowance, and whose it is ("Rate Limits").
USAGE_HEADERS: Final[Mapping[str, Per]] = {
    "X-App-Usage": "app",
    "X-Page-Usage": "account",
    "X-Business-Use-Case-Usage": "account",
}

#: How many calls one batch may make.
BATCH: Final = 50

#: A parameter that is missing, or not taken.
INVALID: Final = 100

#: An object that cannot be found; on reading, a known fault that passes.
NOT_FOUND: Final = (INVALID, 33)


#: How the proof is called that a token is used by its own app.
PROOF: Final = "appsecret_proof"


@dataclass(frozen=True, kw_only=True, repr=False)
class MetaClient(ApiClient):
    """Reads sub-code and code in the body; the token is in a header, never in a URL.

    Attributes:
        proof: What `proof_of` returns, sent with each call of the Graph API; the
            addresses of uploads are other servers', whose pages know no such parameter.
    """

    proof: Mapping[str, str] | None = None

    @override
    def send(self, call: Call, *, check: Callable[[], None] | None = None) -> Answer:
        if self.proof and "://" not in call.target:
            call = replace(call, params={**(call.params or {}), **self.proof})
        return super().send(call, check=check)

    @override
    def judge(self, answer: Answer) -> NexusError | None:
        if answer.status in answer.call.accept:
            return None
        asked, served = self.version, answer.headers.get("facebook-api-version")
        if served is not None and served != asked:
            _warn(asked, served)
        return refusal(answer) or super().judge(answer)

    @property
    def version(self) -> str:
        """The version of the API that is asked for."""
        return self.base_url.rpartition("/")[2]

    @override
    def request_id(self, answer: Answer) -> str | None:
        found = field(body_of(answer), "error", "fbtrace_id")
        return answer.headers.get("x-fb-trace-id") if found is None else str(found)


@cache
def _warn(asked: str, served: str) -> None:
    """Tell once that a version has expired: Meta serves the next one, and says nothing.

    What a field or a metric means may differ there.
    """
    log.warning("platforms.version_expired", asked=asked, served=served)


def refusal(answer: Answer) -> NexusError | None:
    """Return the error that an answer of the Graph API tells of, if it is one."""
    error = field(body_of(answer), "error")
    if not isinstance(error, Mapping):
        return None
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    verdict = verdict_of(code, subcode)
    if (code, subcode) == NOT_FOUND and answer.call.repeatable:
        verdict = Verdict.RETRY
    words = str(error.get("error_user_msg") or error.get("message") or "no reason")
    passes = (
        error.get("is_transient") is True
        or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )
    if verdict is Verdict.CONTENT and passes:  # of a code that the tables do not have
        verdict = Verdict.RETRY
    if code == INVALID and PROOF in words:  # no code of its own, and no fault of a post
        verdict = Verdict.APP
    return error_of(
        verdict,
        answer,
        f"{words} ({code}/{subcode})",
        until=_until(answer),
        reason=f"{code}/{subcode}",
    )


def verdict_of(code: int | None, subcode: int | None) -> Verdict:
    """Return what a refusal means, by sub-code, then code."""
    if subcode is not None and subcode in SUBCODES:
        return SUBCODES[subcode]
    if code is not None and code in CODES:
        return CODES[code]
    return Verdict.REAUTHORIZE if code in PERMISSIONS else Verdict.CONTENT


def client(settings: PlatformSettings, platform: str, token: str) -> MetaClient:
    """Return a client of the Graph API that acts for the owner of *token*."""
    return MetaClient(
        name=platform.capitalize(),
        base_url=f"{settings.at(platform, f'graph.{platform}.com')}"
        f"/{settings.meta_version}",
        headers={"Authorization": f"Bearer {token}"},
        proof=proof_of(settings, token) if platform == "facebook" else None,
    )


def proof_of(settings: PlatformSettings, token: str) -> dict[str, str]:
    """Return the parameter by which Facebook knows *token* to be used by its own app.

    Without the setting, none: a token of another app is refused with it.  Source: Graph
    API, "Secure Graph API Calls", which shows it on graph.facebook.com; no page was
    found by which Instagram's own host takes it.

    Raises:
        ConfigurationError: The secret of the app is not set.
    """
    if not settings.facebook_appsecret_proof:
        return {}
    if settings.facebook_client_secret is None:
        raise ConfigurationError(
            "FACEBOOK_CLIENT_SECRET is not set: NEXUS_FACEBOOK_APPSECRET_PROOF needs it"
        )
    secret = settings.facebook_client_secret.get_secret_value()
    found = hmac.new(secret.encode(), token.encode(), hashlib.sha256)
    return {PROOF: found.hexdigest()}


def batch(paths: Sequence[str]) -> Call:
    """Return the call that makes several which read, each of which counts.

    Source: Graph API, "Batch Requests".
    """
    asked = [{"method": "GET", "relative_url": path} for path in paths]
    form = {"batch": json.dumps(asked), "include_headers": "false"}
    return Call("POST", "/", form=form, idempotent=True, counts=len(paths))


def batched(answer: Answer) -> list[Answer | None]:
    """Return the answers to the calls of a batch; of one not made in time, none.

    Raises:
        RemoteUnavailableError: It is no list of answers.
    """
    found = answer.json()
    if not isinstance(found, list):
        raise RemoteUnavailableError(f"{answer.call}: no list of answers")
    return [_inner(answer, one) if isinstance(one, dict) else None for one in found]


def _inner(answer: Answer, one: Mapping[str, Any]) -> Answer:
    call = Call("GET", answer.call.target)
    body = str(one.get("body") or "").encode()
    return Answer(answer.server, call, int(one.get("code") or 0), {}, body)


def usages(answer: Answer) -> list[Usage]:
    """Return what the headers say of the allowances: the app's, and the account's."""
    found = []
    for header, per in USAGE_HEADERS.items():
        entries = _entries(answer.headers.get(header, ""))
        if entries:
            counted = ("call_count", "total_time", "total_cputime")
            percent = max(
                _number(e.get(name)) or 0 for e in entries for name in counted
            )
            waits = [_number(e.get("estimated_time_to_regain_access")) for e in entries]
            minutes = max((wait for wait in waits if wait), default=None)
            found.append(Usage(per=per, percent=percent, minutes=minutes))
    return found


def _entries(text: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    lists = [v for v in found.values() if isinstance(v, list)] if found else []
    return [e for each in lists for e in each] or ([found] if found else [])


def _until(answer: Answer) -> datetime | None:
    minutes = max((usage.minutes or 0 for usage in usages(answer)), default=0)
    return clock.now() + timedelta(minutes=minutes) if minutes else None


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
