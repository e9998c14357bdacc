"""How each platform lets a creator connect an account: the requests of OAuth.

Three models of keeping a token alive: a *rotating* pair (TikTok), a *stable* refresh
token (YouTube), and the *extension* of the access token itself (Instagram, Facebook).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlencode

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.credentials import Credential
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.keyring import Secret
from nexus_actors.core.transport import Limits

from . import youtube
from .settings import PlatformSettings
from .verdicts import body_of, field


#: What a login's call may take; the lock of a refresh is held for longer.
LIMITS: Final = Limits(connect_s=5, read_s=15, total_s=20)

#: The length of a verifier; 43 to 128 are allowed (RFC 7636).
VERIFIER_BYTES: Final = 48

#: What a platform says when only the account's owner can help.
GONE: Final = {"access_denied", "invalid_grant"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """An account that a creator has connected.

    Attributes:
        account: The platform's id of it.
        name: What a person calls it.
    """

    account: str
    name: str
    credential: Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where to send the creator, and what to keep until they come back."""

    url: str
    state: str
    verifier: str | None


class _LoginClient(ApiClient):
    """Reads OAuth's errors, which may come with any status."""

    @override
    def judge(self, answer: Answer) -> NexusError | None:
        body = body_of(answer)
        error, text = body.get("error"), body.get("error_message")
        if isinstance(error, str):
            return _standard(error, str(body.get("error_description") or error))
        if isinstance(error, Mapping):
            return _graph(error.get("code"), str(error.get("message")))
        return RejectedError(str(text)) if text else super().judge(answer)


def _standard(error: str, words: str) -> NexusError:
    """Return what an error of RFC 6749 means."""
    if error in GONE:
        return AuthorizationError(f"{words} ({error})", code="needs_reauthorization")
    if error in {"server_error", "temporarily_unavailable"}:
        return RemoteUnavailableError(f"{words} ({error})")
    return ConfigurationError(f"{words} ({error})", code=error)


def _graph(code: Any, words: str) -> NexusError:
    """Return what an error of the Graph API means to a login."""
    if code in {102, 190}:
        return AuthorizationError(words, code="needs_reauthorization")
    if code in {2, 4, 17}:
        return RemoteUnavailableError(words)
    return RejectedError(f"{words} ({code})")


@dataclass(frozen=True, slots=True)
class Login(ABC):
    """One platform's way; of its hosts, `settings` says where they are."""

    settings: PlatformSettings
    platform: ClassVar[str]
    model: ClassVar[Literal["rotating", "stable", "extension"]]
    #: What is asked for, and those without which nothing can be published.
    scopes: ClassVar[tuple[str, ...]]
    needed: ClassVar[frozenset[str]]
    #: What parts them in a URL.
    separator: ClassVar[str] = ","
    page: ClassVar[tuple[str, str]]

    def start(
        self, *, redirect_uri: str | None = None, scopes: tuple[str, ...] = ()
    ) -> Start:
        """Return where to send the creator.

        Raises:
            ConfigurationError: The app's id, or where to send them back, is not set.
        """
        state, verifier = secrets.token_urlsafe(24), self._verifier()
        host, path = self.page
        query = {
            **self._app(),
            "response_type": "code",
            "redirect_uri": self.redirect(redirect_uri),
            "scope": self.separator.join(scopes or self.scopes),
            "state": state,
        }
        if verifier is not None:
            query["code_challenge"] = self.challenge(verifier)
            query["code_challenge_method"] = "S256"
        base = self.settings.at(self.platform, host)
        url = f"{base}{path}?{urlencode({**query, **self._more()})}"
        return Start(url=url, state=state, verifier=verifier)

    @abstractmethod
    def exchange(
        self, code: str, *, verifier: str | None, redirect_uri: str | None = None
    ) -> list[Connected]:
        """Return the accounts that a code stands for."""

    @abstractmethod
    def renew(self, credential: Credential, account: str) -> Credential:
        """Return the credential that replaces *credential*.

        Raises:
            AuthorizationError: With the code ``needs_reauthorization`` if the platform
                says that only the owner can help.
            NexusError: It may work another time.
        """

    @abstractmethod
    def revoke(self, credential: Credential) -> None:
        """End the tokens on the platform's side."""

    def is_due(self, credential: Credential, now: datetime) -> bool:
        """Tell whether it is time to renew; a rotating pair is never renewed early."""
        if credential.expires_at is None:
            return False
        early = timedelta(minutes=1 if self.model == "rotating" else 5)
        if self.model == "extension":
            early = (credential.expires_at - credential.obtained_at) / 2
        return now >= credential.expires_at - early

    def missing(self, credential: Credential) -> list[str]:
        """Return the needed scopes that the creator has not granted."""
        return sorted(self.needed - credential.scopes)

    def challenge(self, verifier: str) -> str:
        """Return what the platform is shown of *verifier* (RFC 7636)."""
        digest = hashlib.sha256(verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def redirect(self, given: str | None) -> str:
        """Return where the creator is sent back to."""
        if given:
            return given
        return str(self._setting("redirect_uri"))

    def _verifier(self) -> str | None:
        return secrets.token_urlsafe(VERIFIER_BYTES)

    def _app(self) -> dict[str, str]:
        return {"client_id": str(self._setting("client_id"))}

    def _secret(self) -> str:
        return str(self._setting("client_secret").get_secret_value())

    def _more(self) -> dict[str, str]:
        return {}

    def _setting(self, name: str) -> Any:
        value = getattr(self.settings, f"{self.platform}_{name}")
        if value is None:
            variable = f"{self.platform}_{name}".upper()
            raise ConfigurationError(f"{variable} is not set: {self.platform} needs it")
        return value

    def _call(self, host: str, call: Call) -> Any:
        client = _LoginClient(
            name=self.platform.capitalize(),
            base_url=self.settings.at(self.platform, host),
            limits=LIMITS,
        )
        return client.send(call).json()


def _credential(
    answer: Mapping[str, Any],
    *,
    scopes: frozenset[str],
    refresh: str | None = None,
    kind: str = "bearer",
) -> Credential:
    now = clock.now()

    def ends(name: str) -> datetime | None:
        seconds = answer.get(name)
        return now + timedelta(seconds=int(seconds)) if seconds else None

    token = answer.get("refresh_token") or refresh  # never replaced by nothing
    return Credential(
        access_token=Secret(str(answer["access_token"])),
        refresh_token=Secret(token) if token else None,
        kind=kind,
        scopes=scopes,
        obtained_at=now,
        expires_at=ends("expires_in"),
        refresh_expires_at=ends("refresh_expires_in")
        or ends("refresh_token_expires_in"),
    )


class YouTubeLogin(Login):
    """Google's: a refresh token that stays the same."""

    platform = "youtube"
    model = "stable"
    scopes = (youtube.UPLOAD, youtube.READONLY)
    needed = frozenset(scopes)
    separator = " "
    page = ("accounts.google.com", "/o/oauth2/v2/auth")

    @override
    def _more(self) -> dict[str, str]:
        return {"access_type": "offline", "prompt": "consent"}

    @override
    def exchange(
        self, code: str, *, verifier: str | None, redirect_uri: str | None = None
    ) -> list[Connected]:
        form = {
            **self._app(),
            "client_secret": self._secret(),
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect(redirect_uri),
            "code_verifier": verifier or "",
        }
        answer = self._call("oauth2.googleapis.com", Call("POST", "/token", form=form))
        credential = _credential(answer, scopes=_split(answer.get("scope")))
        client = youtube.client(self.settings, answer["access_token"])
        query = {"part": "id,snippet", "mine": "true"}
        found = client.send(Call("GET", "/youtube/v3/channels", params=query)).json()
        return [
            Connected(
                account=str(channel["id"]),
                name=str(field(channel, "snippet", "title")),
                credential=credential,
            )
            for channel in found.get("items", [])
        ]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        refresh = _refresh_token(credential)
        form = {
            **self._app(),
            "client_secret": self._secret(),
            "grant_type": "refresh_token",
            "refresh_token": refresh,
        }
        call = Call("POST", "/token", form=form, idempotent=True)
        answer = self._call("oauth2.googleapis.com", call)
        scopes = _split(answer.get("scope")) or credential.scopes
        return _credential(answer, scopes=scopes, refresh=refresh)

    @override
    def revoke(self, credential: Credential) -> None:
        token = credential.refresh_token or credential.access_token
        form = {"token": token.get_secret_value()}
        call = Call("POST", "/revoke", form=form, idempotent=True)
        self._call("oauth2.googleapis.com", call)


class TikTokLogin(Login):
    """A pair of tokens: a refresh token is good once, and brings the next."""

    platform = "tiktok"
    model = "rotating"
    scopes = ("user.info.basic", "video.list", "video.publish", "video.upload")
    needed = frozenset({"user.info.basic", "video.publish"})
    page = ("www.tiktok.com", "/v2/auth/authorize/")

    @override
    def challenge(self, verifier: str) -> str:
        # in hex, and not as RFC 7636 has it
        return hashlib.sha256(verifier.encode()).hexdigest()

    @override
    def _app(self) -> dict[str, str]:
        return {"client_key": str(self._setting("client_id"))}

    @override
    def exchange(
        self, code: str, *, verifier: str | None, redirect_uri: str | None = None
    ) -> list[Connected]:
        answer = self._token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.redirect(redirect_uri),
            code_verifier=verifier or "",
        )
        credential = _credential(answer, scopes=_split(answer.get("scope")))
        id_ = str(answer["open_id"])
        return [Connected(account=id_, name=id_, credential=credential)]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        token = _refresh_token(credential)
        answer = self._token(grant_type="refresh_token", refresh_token=token)
        scopes = _split(answer.get("scope")) or credential.scopes
        return _credential(answer, scopes=scopes)

    @override
    def revoke(self, credential: Credential) -> None:
        self._form(
            "/v2/oauth/revoke/", token=credential.access_token.get_secret_value()
        )

    def _token(self, **form: str) -> Any:
        return self._form("/v2/oauth/token/", **form)

    def _form(self, path: str, **form: str) -> Any:
        app = {**self._app(), "client_secret": self._secret()}
        return self._call("open.tiktokapis.com", Call("POST", path, form=app | form))


class InstagramLogin(Login):
    """A token of 60 days, which is extended while it is good."""

    platform = "instagram"
    model = "extension"
    scopes = ("instagram_business_basic", "instagram_business_content_publish")
    needed = frozenset(scopes)
    page = ("www.instagram.com", "/oauth/authorize")

    @override
    def _verifier(self) -> str | None:
        return None  # the app's secret is enough

    @override
    def exchange(
        self, code: str, *, verifier: str | None, redirect_uri: str | None = None
    ) -> list[Connected]:
        form = {
            **self._app(),
            "client_secret": self._secret(),
            "grant_type": "authorization_code",
            "redirect_uri": self.redirect(redirect_uri),
            "code": code.removesuffix("#_"),
        }
        call = Call("POST", "/oauth/access_token", form=form)
        short = self._call("api.instagram.com", call)
        short = field(short, "data", 0) or short  # wrapped as documented, or flat
        permissions = short.get("permissions", "")
        if isinstance(permissions, list):
            permissions = ",".join(permissions)
        query = {
            "grant_type": "ig_exchange_token",
            "client_secret": self._secret(),
            "access_token": str(short["access_token"]),
        }
        host = "graph.instagram.com"
        answer = self._call(host, Call("GET", "/access_token", params=query))
        credential = _credential(answer, scopes=_split(permissions))
        wanted = {"fields": "user_id,username"}
        token = {"Authorization": f"Bearer {answer['access_token']}"}
        path = f"/{self.settings.meta_version}/me"
        me = self._call(host, Call("GET", path, params=wanted, headers=token))
        name = str(me.get("username"))
        return [Connected(account=str(me["user_id"]), name=name, credential=credential)]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        query = {
            "grant_type": "ig_refresh_token",
            "access_token": credential.access_token.get_secret_value(),
        }
        call = Call("GET", "/refresh_access_token", params=query)
        answer = self._call("graph.instagram.com", call)
        return _credential(answer, scopes=credential.scopes)

    @override
    def revoke(self, credential: Credential) -> None:
        raise ConfigurationError(
            "Instagram has no call that disconnects an account: its owner removes the "
            "app in the settings of Instagram"
        )


class FacebookLogin(Login):
    """A person's token, which is exchanged for one of 60 days, and those of Pages.

    A Page's token has no end of its own; the person's is kept beside it, as what a new
    one is read with.
    """

    platform = "facebook"
    model = "extension"
    scopes = ("pages_show_list", "pages_read_engagement", "pages_manage_posts")
    needed = frozenset(scopes)
    page = ("www.facebook.com", "/{version}/dialog/oauth")

    @override
    def _verifier(self) -> str | None:
        return None

    @override
    def start(
        self, *, redirect_uri: str | None = None, scopes: tuple[str, ...] = ()
    ) -> Start:
        found = Login.start(self, redirect_uri=redirect_uri, scopes=scopes)
        url = found.url.replace("{version}", self.settings.meta_version)
        return Start(url=url, state=found.state, verifier=found.verifier)

    @override
    def exchange(
        self, code: str, *, verifier: str | None, redirect_uri: str | None = None
    ) -> list[Connected]:
        short = self._oauth(code=code, redirect_uri=self.redirect(redirect_uri))
        person = self._longer(str(short["access_token"]))
        listed = self._read("/me/permissions", person)
        granted = frozenset(
            str(entry["permission"])
            for entry in listed.get("data", [])
            if entry.get("status") == "granted"
        )
        return [
            Connected(
                account=str(page["id"]),
                name=str(page.get("name")),
                credential=_credential(
                    page, scopes=granted, refresh=person, kind="page"
                ),
            )
            for page in self._pages(person)
        ]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        person = self._longer(_refresh_token(credential))
        for page in self._pages(person):
            if str(page["id"]) == account:
                scopes = credential.scopes
                return _credential(page, scopes=scopes, refresh=person, kind="page")
        raise AuthorizationError(
            f"the person may no longer use the Page {account}",
            code="needs_reauthorization",
        )

    @override
    def revoke(self, credential: Credential) -> None:
        path = f"/{self.settings.meta_version}/me/permissions"
        headers = {"Authorization": f"Bearer {_refresh_token(credential)}"}
        call = Call("DELETE", path, headers=headers, idempotent=True)
        self._call("graph.facebook.com", call)

    def _longer(self, token: str) -> str:
        answer = self._oauth(grant_type="fb_exchange_token", fb_exchange_token=token)
        return str(answer["access_token"])

    def _pages(self, person: str) -> list[Mapping[str, Any]]:
        found = self._read("/me/accounts", person, fields="id,name,access_token,tasks")
        return [p for p in found.get("data", []) if "CREATE_CONTENT" in p["tasks"]]

    def _oauth(self, **form: str) -> Any:
        app = {**self._app(), "client_secret": self._secret()}
        path = f"/{self.settings.meta_version}/oauth/access_token"
        # in the body, and not in the URL, where they would reach logs
        call = Call("POST", path, form=app | form, idempotent=True)
        return self._call("graph.facebook.com", call)

    def _read(self, path: str, token: str, **query: str) -> Any:
        path = f"/{self.settings.meta_version}{path}"
        headers = {"Authorization": f"Bearer {token}"}
        call = Call("GET", path, params={"limit": "100", **query}, headers=headers)
        return self._call("graph.facebook.com", call)


LOGINS: Final[Mapping[str, type[Login]]] = {
    login.platform: login
    for login in (FacebookLogin, InstagramLogin, TikTokLogin, YouTubeLogin)
}


def _split(scope: Any) -> frozenset[str]:
    return frozenset(str(scope or "").replace(",", " ").split())


def _refresh_token(credential: Credential) -> str:
    if credential.refresh_token is None:
        raise AuthorizationError(
            "there is no refresh token: connect the account again",
            code="needs_reauthorization",
        )
    return credential.refresh_token.get_secret_value()
