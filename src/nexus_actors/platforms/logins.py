"""The logins of the platforms: how each spells the requests of OAuth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from typing_extensions import override

from nexus_actors.core.credentials import Credential
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import Call

from . import meta, youtube
from .login import (
    Connected,
    Login,
    Start,
    credential_of,
    refresh_token_of,
    split_scopes,
    text_in,
    token_in,
)
from .tiktok import API_HOST
from .verdicts import field


class YouTubeLogin(Login):
    """Google's: a refresh token that stays the same."""

    platform = "youtube"
    model = "stable"
    scopes = (youtube.UPLOAD, youtube.READONLY)
    figures = (youtube.ANALYTICS,)
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
        credential = credential_of(answer, scopes=split_scopes(answer.get("scope")))
        client = youtube.client(self.settings, token_in(answer))
        query = {"part": "id,snippet", "mine": "true"}
        found = client.send(Call("GET", "/youtube/v3/channels", params=query)).json()
        return [
            Connected(
                account=str(channel["id"]),
                name=str(field(channel, "snippet", "title")),
                credential=credential,
            )
            for channel in field(found, "items") or []
        ]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        refresh = refresh_token_of(credential)
        form = {
            **self._app(),
            "client_secret": self._secret(),
            "grant_type": "refresh_token",
            "refresh_token": refresh,
        }
        call = Call("POST", "/token", form=form, idempotent=True)
        answer = self._call("oauth2.googleapis.com", call)
        scopes = split_scopes(answer.get("scope")) or credential.scopes
        return credential_of(answer, scopes=scopes, refresh=refresh)

    @override
    def revoke(self, credential: Credential) -> None:
        token = credential.refresh_token or credential.access_token
        form = {"token": token.get_secret_value()}
        call = Call("POST", "/revoke", form=form, idempotent=True)
        self._send("oauth2.googleapis.com", call)


class TikTokLogin(Login):
    """A pair of tokens: a refresh token is good once, and brings the next."""

    platform = "tiktok"
    model = "rotating"
    scopes = ("user.info.basic", "video.list", "video.publish", "video.upload")
    figures = ("user.info.stats",)
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
        answer = self._form(
            "/v2/oauth/token/",
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.redirect(redirect_uri),
            code_verifier=verifier or "",
        )
        credential = credential_of(answer, scopes=split_scopes(answer.get("scope")))
        id_ = text_in(answer, "open_id")
        return [Connected(account=id_, name=id_, credential=credential)]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token_of(credential),
        }
        # a lost answer is asked for again: TikTok says that the old token is good no
        # more by then ("Refresh a User Access Token"), so there is nothing to lose
        answer = self._form("/v2/oauth/token/", idempotent=True, **form)
        scopes = split_scopes(answer.get("scope")) or credential.scopes
        return credential_of(answer, scopes=scopes)

    @override
    def revoke(self, credential: Credential) -> None:
        # "a successful request returns an empty response body" ("Revoke a User Access
        # Token"), and its example is an empty object
        token = credential.access_token.get_secret_value()
        self._send(API_HOST, self._asks("/v2/oauth/revoke/", token=token))

    def _form(self, path: str, *, idempotent: bool = False, **form: str) -> Any:
        return self._call(API_HOST, self._asks(path, idempotent=idempotent, **form))

    def _asks(self, path: str, *, idempotent: bool = False, **form: str) -> Call:
        app = {**self._app(), "client_secret": self._secret()}
        return Call("POST", path, form=app | form, idempotent=idempotent)


class InstagramLogin(Login):
    """A token of 60 days, which is extended while it is good."""

    platform = "instagram"
    model = "extension"
    scopes = ("instagram_business_basic", "instagram_business_content_publish")
    figures = ("instagram_business_manage_insights",)
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
            "access_token": token_in(short),
        }
        host = "graph.instagram.com"
        answer = self._call(host, Call("GET", "/access_token", params=query))
        credential = credential_of(answer, scopes=split_scopes(permissions))
        wanted = {"fields": "user_id,username"}
        token = {"Authorization": f"Bearer {answer['access_token']}"}
        path = f"/{self.settings.meta_version}/me"
        me = self._call(host, Call("GET", path, params=wanted, headers=token))
        name = str(me.get("username"))
        id_ = text_in(me, "user_id")
        return [Connected(account=id_, name=name, credential=credential)]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        query = {
            "grant_type": "ig_refresh_token",
            "access_token": credential.access_token.get_secret_value(),
        }
        call = Call("GET", "/refresh_access_token", params=query)
        answer = self._call("graph.instagram.com", call)
        return credential_of(answer, scopes=credential.scopes)

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
    figures = ("read_insights",)
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
        person = self._longer(token_in(short))
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
                credential=credential_of(
                    page, scopes=granted, refresh=person, kind="page"
                ),
            )
            for page in self._pages(person)
        ]

    @override
    def renew(self, credential: Credential, account: str) -> Credential:
        person = self._longer(refresh_token_of(credential))
        for page in self._pages(person):
            if str(page["id"]) == account:
                scopes = credential.scopes
                return credential_of(page, scopes=scopes, refresh=person, kind="page")
        raise AuthorizationError(
            f"the person may no longer use the Page {account}",
            code="needs_reauthorization",
        )

    @override
    def revoke(self, credential: Credential) -> None:
        path, token = "/me/permissions", refresh_token_of(credential)
        call = self._asks("DELETE", path, token, {})
        self._send("graph.facebook.com", call)

    def _longer(self, token: str) -> str:
        answer = self._oauth(grant_type="fb_exchange_token", fb_exchange_token=token)
        return token_in(answer)

    def _pages(self, person: str) -> list[Mapping[str, Any]]:
        """Return the Pages for which the person may post: all of them, or none."""
        pages: list[Mapping[str, Any]] = []
        query = {"fields": "id,name,access_token,tasks"}
        while True:
            found = self._read("/me/accounts", person, **query)
            listed = found.get("data")
            if not isinstance(listed, list):
                raise RemoteUnavailableError("facebook: the answer lists no Pages")
            pages += [p for p in listed if "CREATE_CONTENT" in (p.get("tasks") or [])]
            after = field(found, "paging", "cursors", "after")
            if after is None or not field(found, "paging", "next"):
                return pages
            query["after"] = str(after)

    def _oauth(self, **form: str) -> Any:
        app = {**self._app(), "client_secret": self._secret()}
        path = f"/{self.settings.meta_version}/oauth/access_token"
        # in the body, and not in the URL, where they would reach logs
        call = Call("POST", path, form=app | form, idempotent=True)
        return self._call("graph.facebook.com", call)

    def _read(self, path: str, token: str, **query: str) -> Any:
        call = self._asks("GET", path, token, {"limit": "100", **query})
        return self._call("graph.facebook.com", call)

    def _asks(
        self, method: str, path: str, token: str, query: Mapping[str, str]
    ) -> Call:
        """Return a call that acts with *token*, and can be made again."""
        return Call(
            method,
            f"/{self.settings.meta_version}{path}",
            params={**query, **meta.proof_of(self.settings, token)},
            headers={"Authorization": f"Bearer {token}"},
            idempotent=True,
        )


LOGINS: Final[Mapping[str, type[Login]]] = {
    login.platform: login
    for login in (FacebookLogin, InstagramLogin, TikTokLogin, YouTubeLogin)
}
