"""Firebase Cloud Messaging: push, by ``POST /v1/projects/…/messages:send``.

The SDK spells and checks the message, and `google.auth` signs for the access token.
Both are sent over our own connections: the SDK retries up to four times inside of a
call, sleeps through ``Retry-After``, and starts a thread for each message of a batch.
"""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from firebase_admin import messaging
from google.auth import transport
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import service_account

from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.notifications.base import LIMITS, Provider, Receipt
from nexus_actors.notifications.content import Channel, Push
from nexus_actors.notifications.errors import TargetGoneError
from nexus_actors.notifications.settings import FirebaseSettings


SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"

#: How much a message to a device, and to a topic, may hold: keys and values.
MAX_BYTES: Final = 4096
MAX_TOPIC_BYTES: Final = 2048

#: What FCM's own codes mean, beside their HTTP status.
GONE: Final = frozenset({"UNREGISTERED", "SENDER_ID_MISMATCH"})
INVALID: Final = "is not a valid FCM registration token"


class FcmClient(ApiClient):
    """Reads FCM's answers."""

    def judge(self, answer: Answer) -> NexusError | None:
        """Return what *answer* means."""
        code, text = _fault(answer)
        if code in GONE or (code == "INVALID_ARGUMENT" and INVALID in text):
            return TargetGoneError("the device is not registered any more")
        return _by_status(answer, code) or super().judge(answer)


class FirebaseProvider(Provider[Push]):
    name: ClassVar[str] = "firebase"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.PUSH})
    #: A tag of its own lets a repeated message replace the first one on the device.
    knows_repeats: ClassVar[bool] = True

    def __init__(self, settings: FirebaseSettings) -> None:
        account = _account(settings.account())
        self._tokens = _Tokens(account)
        self._path = f"/v1/projects/{account.project_id}/messages:send"
        self._client = FcmClient(
            name="FCM", base_url=settings.at("fcm_url", "fcm"), limits=LIMITS
        )

    @classmethod
    def connect(cls) -> Self:
        return cls(FirebaseSettings.load())

    def deliver(self, content: Push, *, delivery_id: str) -> Receipt:
        body = {"message": _spelled(content, delivery_id)}
        token, is_new = self._tokens.get()
        headers = {"Authorization": f"Bearer {token}"}
        call = Call("POST", self._path, json=body, headers=headers)
        try:
            answer = self._client.send(call)
        except AuthorizationError as error:
            if error.code != "access_token" or is_new:
                raise
            self._tokens.forget(token)
            raise RemoteUnavailableError(
                "FCM: the access token has been taken back; a new one will be asked for"
            ) from error
        found = answer.json()
        name = found.get("name") if isinstance(found, dict) else None
        if not name:
            raise call.lost("FCM: the answer names no message")
        return Receipt(provider_id=str(name))


class _Tokens:
    """The access token of a service account, renewed when it is old."""

    def __init__(self, account: service_account.Credentials) -> None:
        self._account = account
        self._request = _Transport()
        self._lock = threading.Lock()

    def get(self) -> tuple[str, bool]:
        """Return a token, and whether it was given out only now."""
        with self._lock:
            is_old = not self._account.valid
            if is_old:
                self._renew()
            return str(self._account.token), is_old

    def forget(self, token: str) -> None:
        """Ask for another one the next time."""
        with self._lock:
            if self._account.token == token:
                self._account.token = None

    def _renew(self) -> None:
        try:
            self._account.refresh(self._request)
        except RejectedError as error:
            raise AuthorizationError(
                "Google gives no access token for FIREBASE_SERVICE_ACCOUNT: "
                "its key was deleted, or the clock is wrong"
            ) from error
        except GoogleAuthError as error:
            raise RemoteUnavailableError(
                "Google: the access token was not given in a form that can be read"
            ) from error


class _Transport(transport.Request):
    """Carries google.auth's requests over our connections."""

    def __init__(self) -> None:
        self._client = ApiClient(name="Google", limits=LIMITS)

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - ours is shorter
        **_: Any,
    ) -> Any:
        # an error of ours passes through google.auth, which would else wait and retry
        call = Call(method, url, body=body, headers=headers or {}, idempotent=True)
        return _Response(self._client.send(call))


class _Response(transport.Response):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Any:
        return self._answer.headers

    @property
    def data(self) -> bytes:
        return self._answer.body


def _by_status(answer: Answer, code: str) -> NexusError | None:
    match answer.status:
        case HTTPStatus.UNAUTHORIZED if code == "THIRD_PARTY_AUTH_ERROR":
            return AuthorizationError(
                "has no valid key for the device's platform (APNs or web push)"
            )
        case HTTPStatus.UNAUTHORIZED:
            text = "does not know the access token"
            return AuthorizationError(text, code="access_token")
        case HTTPStatus.FORBIDDEN:
            return AuthorizationError(
                "the service account may not send: see FIREBASE_SERVICE_ACCOUNT"
            )
        case HTTPStatus.BAD_REQUEST | HTTPStatus.NOT_FOUND:
            # of a bare 404 the project is wrong, or the URL: no reason to drop a token
            return RejectedError(f"refused the message: {code or answer.status}")
        case HTTPStatus.SERVICE_UNAVAILABLE if "Retry-After" not in answer.headers:
            return RemoteUnavailableError("is not available")
    return None


def _account(given: str) -> service_account.Credentials:
    """Read a service account: JSON, or the path of a file with it."""
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text()
        info = json.loads(text)
        found: service_account.Credentials | None
        found = service_account.Credentials.from_service_account_info(
            info, scopes=[SCOPE]
        )
    except (OSError, ValueError, TypeError, AttributeError):
        found = None
    if found is None or not found.project_id:
        raise ConfigurationError(
            "FIREBASE_SERVICE_ACCOUNT is neither the JSON of a service account nor the "
            "path of a file with it"
        ) from None
    return found


def _spelled(push: Push, delivery_id: str) -> dict[str, Any]:
    message = messaging.Message(
        notification=messaging.Notification(
            title=push.title, body=push.body, image=push.image
        ),
        data={**push.data, **({"link": push.link} if push.link else {})} or None,
        android=messaging.AndroidConfig(
            priority="high" if push.urgent else "normal",
            notification=messaging.AndroidNotification(tag=delivery_id),
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-collapse-id": delivery_id,
                "apns-priority": "10" if push.urgent else "5",
            },
            payload=messaging.APNSPayload(aps=messaging.Aps(sound="default")),
        ),
        webpush=messaging.WebpushConfig(
            notification=messaging.WebpushNotification(tag=delivery_id),
            fcm_options=(
                messaging.WebpushFCMOptions(link=push.link)
                if push.link and push.link.startswith("https://")
                else None
            ),
        ),
    )
    # not as an argument: the SDK warns of tokens, which FCM still takes
    setattr(message, push.kind, push.target)
    try:
        spelled: dict[str, Any] = json.loads(str(message))
    except ValueError as error:
        reason = str(error).replace(push.target, "…")
        raise RejectedError(f"FCM: the message cannot be sent: {reason}") from None
    _check_size(push)
    return spelled


def _check_size(push: Push) -> None:
    words = [push.title, push.body, push.image or "", push.link or ""]
    words += [part for item in push.data.items() for part in item]
    size = sum(len(word.encode()) for word in words)
    most = MAX_TOPIC_BYTES if push.kind == "topic" else MAX_BYTES
    if size > most:
        raise RejectedError(f"FCM: the message has {size} bytes, and may have {most}")


def _fault(answer: Answer) -> tuple[str, str]:
    """Return FCM's own code of an error, and its message."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return "", ""
    try:
        error = json.loads(answer.body)["error"]
        codes = [str(d.get("errorCode", "")) for d in error.get("details", [])]
        return "".join(codes), str(error.get("message", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", ""
