"""The content publishing API: a container first, then the post."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Clock, Post, Refusal, Vendor
from nexus_actors.sandbox.forms import Form, read_form
from nexus_actors.sandbox.growth import Figures, Made, World, followers, total
from nexus_actors.sandbox.media import FetchError
from nexus_actors.sandbox.oauth import by_id
from nexus_actors.sandbox.vendors.meta import errors, rupload
from nexus_actors.sandbox.vendors.meta.graph import (
    Graph,
    Lazy,
    flag,
    graph_time,
    listed,
    page_of,
    shown,
)
from nexus_actors.sandbox.vendors.meta.login import FacebookLogin, token_of
from nexus_actors.sandbox.window import Window

from . import containers, insights
from .containers import Container, Media
from .login import InstagramLogin
from .settings import FAILURES, Account, InstagramSettings


DAY_S: Final = 86_400

#: What each of these needs, by Instagram Login and by Facebook Login.
NEEDS: Final = {
    "read": ("instagram_business_basic", "instagram_basic"),
    "publish": ("instagram_business_content_publish", "instagram_content_publish"),
    "comment": ("instagram_business_manage_comments", "instagram_manage_comments"),
    "insights": ("instagram_business_manage_insights", "instagram_manage_insights"),
    "delete": ("", "instagram_manage_contents"),
}


class Instagram(Vendor[InstagramSettings]):
    """The accounts, their containers and posts."""

    name = "instagram"
    defaults = InstagramSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.graph = Graph(self, kind="instagram", throttled=80002)
        self.login = InstagramLogin(self)
        self.facebook = FacebookLogin(self, self.graph)
        self._seed()
        self._containers: dict[str, Container] = {}
        self._media: dict[str, Media] = {}
        self._made = Window(clock, DAY_S)
        self._published = Window(clock, DAY_S)
        self._next_id = 18_000_000_000_000_001

    def configure(self, changes: dict[str, Any]) -> None:
        super().configure(changes)
        self._seed()

    def _seed(self) -> None:
        self.login.seed()
        self.facebook.seed()

    def posts(self) -> list[Post]:
        return [media.post() for media in self._media.values()]

    def routes(self) -> Sequence[BaseRoute]:
        route = self.graph.route
        return [
            *self.login.routes(),
            *self.facebook.routes(),
            Route("/ig-api-upload/{version}/{id}", self.send, methods=["POST"]),
            route("POST", "/", self.graph.batch),
            route("POST", "/{id}/media", self.create),
            route("GET", "/{id}/media", self.list_media),
            route("GET", "/{id}/stories", self.list_stories),
            route("POST", "/{id}/media_publish", self.publish),
            route("GET", "/{id}/content_publishing_limit", self.limit),
            route("POST", "/{id}/comments", self.comment),
            route("GET", "/{id}/comments", self.list_comments),
            route("GET", "/{id}", self.read),
            route("GET", "/{id}/insights", self.tell_insights),
            route("DELETE", "/{id}", self.delete),
        ]

    # containers

    async def create(self, request: Request) -> Response:
        """Make a container."""
        form = await read_form(request)
        account, by_facebook = self._account(request, form, "publish")
        kind = containers.check_creation(form, account)
        self._check_state(account)
        if self._made.count(account.id) >= self.settings.containers_per_day:
            raise errors.refusal(80002, "(#80002) Too many containers were created")
        container = self._new(account, kind, form)
        if kind == "CAROUSEL":
            container.children = self._children(account, form)
            container.ready_at = self.clock.now() + self.settings.processing_s
            return self._made_answer(container)
        url = containers.source_of(form, kind)
        if url is None:
            return self._resumable(request, container, by_facebook=by_facebook)
        await self._fetch(container, form, url)
        return self._made_answer(container)

    def _new(self, account: Account, kind: str, form: Form) -> Container:
        settings = self.settings
        hidden = {"access_token", "appsecret_proof", "caption"}
        return Container(
            id=self._id(),
            account=account,
            kind=kind,
            caption="" if kind == "STORIES" else form.fields.get("caption", ""),
            is_item=flag(form, "is_carousel_item", default=False),
            created_at=self.clock.now(),
            settings=settings,
            details={k: v for k, v in form.fields.items() if k not in hidden},
            failure=FAILURES.get(settings.outcome),
        )

    def _made_answer(self, container: Container, **more: str) -> Response:
        self._containers[container.id] = container
        self._made.add(container.account.id)
        return JSONResponse({"id": container.id, **more})

    def _children(self, account: Account, form: Form) -> list[Container]:
        ids = [str(child) for child in listed(form, "children")]
        if len(ids) not in containers.CAROUSEL:
            raise errors.invalid("A carousel has 2 to 10 items", 2207028)
        found = [self._containers.get(id_) for id_ in ids]
        children = [c for c in found if c and c.is_item and c.account.id == account.id]
        if len(children) < len(ids):
            text = "The media with that id cannot be found"
            raise errors.refusal(24, text, subcode=2207006)
        if any(child.status(self.clock) != "FINISHED" for child in children):
            raise _not_ready()
        return children

    def _resumable(
        self, request: Request, container: Container, *, by_facebook: bool
    ) -> Response:
        if not by_facebook and not self.settings.resumable:
            raise errors.refusal(3, "(#3) Application does not have the capability")
        version = request.path_params["version"]
        container.upload = rupload.Upload(self.media.new(), version)
        path = f"/ig-api-upload/{version}/{container.id}"
        return self._made_answer(container, uri=self.url(request, path))

    async def _fetch(self, container: Container, form: Form, url: str) -> None:
        film = "video_url" in form.fields
        try:
            file = await self.media.fetch(url, self.settings.fetches_from)
        except FetchError:
            if not film:
                text = "The media could not be fetched from this URI"
                raise errors.refusal(9004, text, subcode=2207052) from None
            container.failure = 2207052
        else:
            container.file = file
            if film:
                container.failure = containers.flaw(container, file)
                container.failure = container.failure or FAILURES.get(
                    self.settings.outcome
                )
            else:
                containers.check_image(file)
        container.ready_at = self.clock.now() + self.settings.processing_s

    async def send(self, request: Request) -> Response:
        """Take bytes of a container's file."""
        container = self._containers.get(request.path_params["id"])
        upload = container.upload if container else None
        version = request.path_params["version"]
        if not container or not upload or upload.version != version:
            raise rupload.refused("NotFoundError", "Unknown upload", 404)
        if not self._may_send(request, container.account.id):
            text = "Authentication Failure"
            raise rupload.refused("NotAuthorizedError", text, 401)
        hosts = self.settings.fetches_from
        answer = await rupload.take(request, upload, self.media, hosts)
        if upload.complete and container.ready_at is None:
            container.ready_at = self.clock.now() + self.settings.processing_s
            flaw = containers.flaw(container, upload.file)
            container.failure = flaw or container.failure
        return answer

    def _may_send(self, request: Request, owner: str) -> bool:
        """Tell whether the token of a request is good for the account."""
        try:
            if found := self.login.caller(token_of(request)):
                return found[0].id == owner
            pages = self.facebook.caller(request).pages
        except Refusal:
            return False
        return any(page.instagram == owner for page in pages)

    # posts

    async def publish(self, request: Request) -> Response:
        """Make the post: it is live from here on."""
        form = await read_form(request)
        account, _ = self._account(request, form, "publish")
        self._check_state(account)
        container = self._containers.get(form.fields.get("creation_id", ""))
        if not container or container.account.id != account.id or container.is_item:
            text = "The requested resource does not exist"
            raise errors.refusal(24, text, subcode=2207006)
        self._check_container(container)
        if container.media and self.settings.published_again == "same":
            return JSONResponse({"id": container.media})
        if self._published.count(account.id) >= self.settings.quota_total:
            text = "Application request limit reached"
            user = "You reached maximum number of posts that is allowed to be published"
            raise errors.refusal(9, text, subcode=2207042, user=user)
        media = Media(
            id=self._id(),
            container=container,
            shortcode=secrets.token_urlsafe(8),
            published_at=self.clock.now(),
        )
        container.media = media.id
        self._media[media.id] = media
        self._published.add(account.id)
        self.took_effect(
            media.container.product,
            media.id,
            request,
            account=account.username,
            caption=container.caption,
            media_type=container.media_type,
            container=container.id,
            options=container.details,
            files=[{"size": f.size, "sha256": f.sha256()} for f in container.files],
        )
        return JSONResponse({"id": media.id})

    def _check_container(self, container: Container) -> None:
        status = container.status(self.clock)
        if status == "PUBLISHED" and self.settings.published_again == "refused":
            text = "The requested resource does not exist"
            raise errors.refusal(24, text, subcode=2207008)
        if status == "EXPIRED":
            raise errors.refusal(-2, "The media has expired", subcode=2207020)
        if status in {"IN_PROGRESS", "ERROR"}:
            raise _not_ready()

    def _check_state(self, account: Account) -> None:
        if account.state == "restricted":
            text = "The account is restricted"
            user = "The user's Instagram account is restricted or inactive."
            raise errors.refusal(25, text, subcode=2207050, user=user)
        if account.state == "blocked":
            text = "Application request limit reached"
            user = "We restrict certain activity to protect our community."
            raise errors.refusal(4, text, subcode=2207051, user=user)

    # what can be read

    async def read(self, request: Request) -> Response:
        """Return an account, a container or a post."""
        form = await read_form(request)
        id_ = request.path_params["id"]
        if id_ == "me" and not self._by_instagram(request, form):
            return self.facebook.me(self.facebook.caller(request, form), form)
        if container := self._containers.get(id_):
            self._account(request, form, "read", container.account.id)
            return JSONResponse(shown(container.node(self.clock), form))
        if media := self._media.get(id_):
            self._account(request, form, "read", media.container.account.id)
            return JSONResponse(shown(self._media_node(media), form))
        account, by_facebook = self._account(request, form, "read")
        return JSONResponse(shown(self._node(account, by_facebook=by_facebook), form))

    async def tell_insights(self, request: Request) -> Response:
        """Return the figures of a post, or of an account in a span of time."""
        form = await read_form(request)
        id_ = request.path_params["id"]
        media = self._media.get(id_)
        if not media:
            account, _ = self._account(request, form, "insights")
            return JSONResponse({"data": self._of_account(account, form)})
        self._account(request, form, "insights", media.container.account.id)
        names = self._names(form.fields.get("metric", ""))
        return JSONResponse(self._insights(media, names))

    def _names(self, text: str) -> list[str]:
        names = [n for n in text.split(",") if n]
        if not names:
            raise errors.refusal(3001, "No metric was specified", subcode=1504028)
        return names

    def _insights(self, media: Media, names: list[str]) -> dict[str, Any]:
        insights.check(names, media.container.product, self.settings.retired_metrics)
        now = self._figures(media)
        if media.container.product == "STORY" and now.views < insights.STORY_VIEWERS:
            text = "(#10) Not enough viewers for the media to show insights"
            raise errors.refusal(10, text)
        age_s = self.clock.now() - media.published_at
        known = age_s >= self.settings.insights_after_s
        return {"data": insights.told(media.id, names, now) if known else []}

    def _of_account(self, account: Account, form: Form) -> list[dict[str, Any]]:
        names = self._names(form.fields.get("metric", ""))
        since, until = insights.check_account(
            names, form.fields, self.settings.retired_metrics
        )
        if until > self.clock.now() - self.settings.account_insights_after_s:
            return []
        mine = [post for post in self.made() if post.account == account.id]
        courses = (self.world.course(post, (since, until)) for post in mine)
        added = total(after.minus(before) for before, after in courses)
        return insights.told_of_account(account.id, names, added, form.fields)

    @property
    def world(self) -> World:
        return World(seed=self.settings.seed, growth=self.settings.growth)

    def made(self) -> list[Made]:
        return [_made(media) for media in self._media.values()]

    def plant(self, times: Sequence[float]) -> list[str]:
        account, file, planted = self.settings.accounts[0], self.media.new(), []
        for number, at in enumerate(times):
            kind = ("REELS", "IMAGE", "CAROUSEL")[number % 3]
            form = Form({"caption": f"Planted {number}"}, {})
            container = self._new(account, kind, form)
            container.file, container.created_at = file, at
            media = Media(self._id(), container, f"planted{number}", at)
            container.media = media.id
            self._media[media.id] = media
            planted.append(media.id)
        return planted

    def _figures(self, media: Media) -> Figures:
        return self.world.figures(_made(media), self.clock.now())

    def _media_node(self, media: Media) -> dict[str, Any]:
        def told(arguments: dict[str, str]) -> dict[str, Any]:
            return self._insights(media, self._names(arguments.get("metric", "")))

        likes = self._figures(media).likes
        return media.node() | {"like_count": likes, "insights": told}

    def _node(self, account: Account, *, by_facebook: bool) -> dict[str, Any]:
        count = sum(m.container.account.id == account.id for m in self._media.values())
        node = {
            "id": account.id,
            "username": account.username,
            "name": account.name,
            "profile_picture_url": "https://scontent.example/sandbox.jpg",
            "followers_count": followers(
                self.settings.seed, account.id, self.clock.now()
            ),
            "media_count": count,
        }
        if by_facebook:
            return node
        own = {"user_id": account.id, "account_type": account.account_type}
        return node | own | {"id": account.app_scoped_id}

    async def list_media(self, request: Request) -> Response:
        """Return the posts but stories, newest first."""
        return await self._list(request, stories=False)

    async def list_stories(self, request: Request) -> Response:
        """Return the stories of the last 24 hours, newest first."""
        return await self._list(request, stories=True)

    async def _list(self, request: Request, *, stories: bool) -> Response:
        form = await read_form(request)
        account, _ = self._account(request, form, "read")
        now = self.clock.now()
        found = [
            media
            for media in self._newest()
            if media.container.account.id == account.id
            and (media.container.product == "STORY") is stories
            and media.published_at <= now - self.settings.listed_after_s
            and not (stories and media.published_at <= now - DAY_S)
        ]
        return page_of(request, form, Lazy(found, self._media_node))

    def _newest(self) -> list[Media]:
        # the later of two of one instant comes first
        return sorted(self._media.values(), key=lambda m: m.published_at)[::-1]

    async def limit(self, request: Request) -> Response:
        """Tell how much of the day's posts is used."""
        form = await read_form(request)
        account, _ = self._account(request, form, "publish")
        total = {"quota_total": self.settings.quota_total, "quota_duration": DAY_S}
        node = {"quota_usage": self._published.count(account.id), "config": total}
        return JSONResponse({"data": [shown(node, form, "quota_usage")]})

    async def delete(self, request: Request) -> Response:
        """Take a post away."""
        form = await read_form(request)
        media = self._media.get(request.path_params["id"])
        if not media:
            raise errors.not_found(request.path_params["id"], "delete")
        self._account(request, form, "delete", media.container.account.id)
        del self._media[media.id]
        for effect in self.effects:
            if effect.id == media.id:
                effect.details["deleted"] = self.clock.iso()
        return JSONResponse({"success": True})

    async def comment(self, request: Request) -> Response:
        """Add a comment; twice is two comments."""
        form = await read_form(request)
        media = self._of_media(request, form)
        message = form.fields.get("message", "")
        if not message:
            raise errors.invalid("The parameter message is required")
        account = media.container.account
        media.comments.append(
            {
                "id": self._id(),
                "text": message,
                "username": account.username,
                "from": {"id": account.id, "username": account.username},
                "timestamp": graph_time(self.clock.now()),
            }
        )
        return JSONResponse({"id": media.comments[-1]["id"]})

    async def list_comments(self, request: Request) -> Response:
        """Return the comments, newest first."""
        form = await read_form(request)
        media = self._of_media(request, form)
        newest = media.comments[::-1]
        return page_of(request, form, newest, "timestamp", "text")

    def _of_media(self, request: Request, form: Form) -> Media:
        media = self._media.get(request.path_params["id"])
        if not media:
            raise errors.not_found(request.path_params["id"])
        self._account(request, form, "comment", media.container.account.id)
        return media

    # who

    def _by_instagram(self, request: Request, form: Form) -> bool:
        return self.login.caller(token_of(request, form)) is not None

    def _account(
        self, request: Request, form: Form, need: str, owner: str | None = None
    ) -> tuple[Account, bool]:
        """Return the account that a call is about, and whether by Facebook Login.

        Raises:
            Refusal: The token is not good for it.
        """
        id_ = request.path_params["id"] if owner is None else owner
        found = self.login.caller(token_of(request, form))
        if found:
            scopes, wanted, mine = found[1].grant.scopes, NEEDS[need][0], [found[0]]
            id_ = found[0].id if id_ == "me" else id_
        else:
            caller = self.facebook.caller(request, form)
            linked = {page.instagram for page in caller.pages}
            mine = [a for a in self.settings.accounts if a.id in linked]
            scopes, wanted = caller.scopes, NEEDS[need][1]
        account = by_id(mine, id_)
        if not account:
            raise errors.not_found(request.path_params["id"], request.method.lower())
        if wanted not in scopes:
            text = "(#10) Application does not have permission for this action"
            raise errors.refusal(10, text)
        self.graph.count(request, account.id)
        return account, found is None

    def _id(self) -> str:
        self._next_id += 1
        return str(self._next_id)


def _made(media: Media) -> Made:
    account = media.container.account.id
    return Made(name=media.id, account=account, at=media.published_at)


def _not_ready() -> Exception:
    return errors.refusal(
        9007,
        "Media ID is not available",
        subcode=2207027,
        user="The media is not ready for publishing, please wait for a moment",
    )
