"""A Page's posts and photos, and what can be read and changed of all that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from nexus_actors.sandbox.base import Clock, Post, Vendor
from nexus_actors.sandbox.forms import Form, read_form
from nexus_actors.sandbox.growth import Figures, Made, World, followers, total
from nexus_actors.sandbox.media import FetchError
from nexus_actors.sandbox.oauth import by_id
from nexus_actors.sandbox.vendors.meta import errors
from nexus_actors.sandbox.vendors.meta.graph import (
    Graph,
    Lazy,
    flag,
    graph_time,
    page_of,
    shown,
)
from nexus_actors.sandbox.vendors.meta.login import FacebookLogin
from nexus_actors.sandbox.vendors.meta.settings import Page

from . import content, insights
from .content import PagePost, Photo, Showing, Video
from .settings import RESTRICTIONS, FacebookSettings
from .videos import Videos


THUMBNAIL_BYTES: Final = 10 * 2**20

#: What the name of a file of captions ends with.
CAPTIONS: Final = re.compile(r".+\.[a-z]{2}_[A-Z]{2}\.srt")


class Facebook(Vendor[FacebookSettings]):
    """The pages, and what is on them."""

    name = "facebook"
    defaults = FacebookSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.graph = Graph(self, kind="pages", throttled=80001)
        self.login = FacebookLogin(self, self.graph)
        self.login.seed()
        self._last_id = 150_000_000_000_000
        self._posts: dict[str, PagePost] = {}
        self._photos: dict[str, Photo] = {}
        self.videos = Videos(self)

    def configure(self, changes: dict[str, Any]) -> None:
        super().configure(changes)
        self.login.seed()

    def posts(self) -> list[Post]:
        every: list[Video | PagePost] = [*self._posts.values()]
        every += [video for video in self.videos.all.values() if video.showing]
        every.sort(key=lambda one: one.created_at)
        return [one.post(self.clock) for one in every]

    @property
    def world(self) -> World:
        return World(seed=self.settings.seed, growth=self.settings.growth)

    def made(self) -> list[Made]:
        every: list[Video | PagePost] = [*self._posts.values(), *self._seen_films()]
        public = [(one, at) for one in every if (at := _seen_at(one)) is not None]
        posts = [_made(one, at) for one, at in public if at <= self.clock.now()]
        return sorted(posts, key=lambda post: post.at)

    def _seen_films(self) -> list[Video]:
        return [v for v in self.videos.all.values() if v.showing]

    def plant(self, times: Sequence[float]) -> list[str]:
        page, planted = self.settings.pages[0], []
        for number, at in enumerate(times):
            if number % 2:
                film = self.videos.plant(page, f"Planted {number}", at)
                planted.append(film.post_id)
                continue
            id_ = f"{page.id}_{self.new_id()}"
            text, showing = f"Planted {number}", Showing(at)
            self._posts[id_] = PagePost(id_, page, "status", text, showing, at)
            planted.append(id_)
        return planted

    def routes(self) -> Sequence[BaseRoute]:
        route = self.graph.route
        return [
            *self.login.routes(),
            *self.videos.routes(),
            route("POST", "/", self.graph.batch),
            route("GET", "/{id}/insights", self.tell_insights),
            route("POST", "/{id}/feed", self.publish),
            route("POST", "/{id}/photos", self.add_photo),
            route("POST", "/{id}/photo_stories", self.add_photo_story),
            route("GET", "/{id}/feed", self.list_published),
            route("GET", "/{id}/published_posts", self.list_published),
            route("GET", "/{id}/scheduled_posts", self.list_scheduled),
            route("POST", "/{id}/thumbnails", self.add_thumbnail),
            route("POST", "/{id}/captions", self.add_captions),
            route("POST", "/{id}/comments", self.comment),
            route("GET", "/{id}/comments", self.list_comments),
            route("GET", "/{id}", self.read),
            route("POST", "/{id}", self.change),
            route("DELETE", "/{id}", self.delete),
        ]

    def new_id(self) -> str:
        """Return an id that nothing has."""
        self._last_id += 1
        return str(self._last_id)

    # who

    def publisher(
        self, request: Request, form: Form, owner: Page | None = None
    ) -> Page:
        """Return the Page for which a call publishes.

        Raises:
            Refusal: It is no Page token, or may not.
        """
        page = self._page(request, form, owner)
        caller = self.login.caller(request, form)
        if not caller.page:
            text = "(#190) This method must be called with a Page Access Token"
            raise errors.bad_token(text)
        caller.need("pages_manage_posts", "pages_read_engagement")
        if "CREATE_CONTENT" not in page.tasks:
            raise errors.refusal(200, "(#200) No permission to publish")
        if self.settings.restriction:
            code, subcode, user = RESTRICTIONS[self.settings.restriction]
            raise errors.refusal(code, f"(#{code}) {user}", subcode=subcode, user=user)
        return page

    def reader(self, request: Request, form: Form, owner: Page | None = None) -> Page:
        """Return the Page of which a call reads.

        Raises:
            Refusal: The token may not.
        """
        page = self._page(request, form, owner)
        self.login.caller(request, form).need("pages_read_engagement")
        return page

    def _page(self, request: Request, form: Form, owner: Page | None) -> Page:
        caller = self.login.caller(request, form)
        id_ = owner.id if owner else request.path_params["id"]
        mine = [caller.page] if caller.page else caller.pages
        if id_ == "me" and caller.page:
            id_ = caller.page.id
        page = by_id(mine, id_)
        if not page:
            raise errors.not_found(request.path_params["id"], request.method.lower())
        self.graph.count(request, page.id)
        return page

    # posts and photos

    async def publish(self, request: Request) -> Response:
        """Make a post of text, a link, or photos."""
        form = await read_form(request)
        page = self.publisher(request, form)
        content.check_text(form)
        message, link = form.fields.get("message", ""), form.fields.get("link")
        if link and urlsplit(link).scheme not in {"http", "https"}:
            raise errors.refusal(100, "(#100) The url is invalid", subcode=2061006)
        photos = self._attached(form, page)
        if not message and not link and not photos:
            text = "(#100) Missing message or attachment"
            raise errors.refusal(100, text)
        now = self.clock.now()
        showing = content.read_showing(form, self.settings, now)
        self._check_duplicate(page, message, link, photos)
        kind: Any = "photo" if photos else "link" if link else "status"
        post = self._add(request, page, kind, message, showing, link, photos)
        return JSONResponse({"id": post.id})

    def _attached(self, form: Form, page: Page) -> list[Photo]:
        entries = [
            value
            for name, value in form.fields.items()
            if re.fullmatch(r"attached_media\[\d+\]", name)
        ]
        text = form.fields.get("attached_media", "[]")
        try:
            media = [*json.loads(text), *map(json.loads, entries)]
            ids = [str(entry["media_fbid"]) for entry in media]
        except (ValueError, TypeError, KeyError):
            text = "Param attached_media must be a list of media_fbid"
            raise errors.invalid(text) from None
        return [self._unused(id_, page) for id_ in ids]

    def _unused(self, id_: str, page: Page) -> Photo:
        photo = self._photos.get(id_)
        if not photo or photo.page.id != page.id:
            raise errors.not_found(id_, "post")
        if photo.used:
            text = "(#100) Photos were already posted"
            raise errors.refusal(100, text, subcode=1366051)
        return photo

    def _check_duplicate(
        self, page: Page, message: str, link: str | None, photos: list[Photo]
    ) -> None:
        mine = [post for post in self._posts.values() if post.page.id == page.id]
        if not self.settings.refuses_duplicates or photos or not mine:
            return
        last = mine[-1]
        if (last.message, last.link) == (message, link) and not last.photos:
            text = "(#506) Duplicate status message"
            user = "This status update is identical to the last one you posted."
            raise errors.refusal(506, text, user=user)

    def _add(  # noqa: PLR0913, PLR0917 - what a post has
        self,
        request: Request,
        page: Page,
        kind: Any,
        message: str,
        showing: Showing,
        link: str | None = None,
        photos: Sequence[Photo] = (),
    ) -> PagePost:
        id_ = f"{page.id}_{self.new_id()}"
        now = self.clock.now()
        post = PagePost(id_, page, kind, message, showing, now, link, list(photos))
        self._posts[id_] = post
        for photo in photos:
            photo.used = True
        if showing.at is not None:
            self._take_effect(request, post)
        return post

    def _take_effect(self, request: Request, post: PagePost) -> None:
        files = [photo.file for photo in post.photos]
        self.took_effect(
            post.kind,
            post.id,
            request,
            page=post.page.name,
            message=post.message,
            link=post.link,
            publish_at=post.showing.at if post.showing.scheduled else None,
            files=[{"size": file.size, "sha256": file.sha256()} for file in files],
        )

    async def add_photo(self, request: Request) -> Response:
        """Add a photo: as a post, or to be put into one."""
        form = await read_form(request)
        page = self.publisher(request, form)
        content.check_text(form)
        showing = content.read_showing(form, self.settings, self.clock.now())
        photo = await self._photo(form, page)
        self._photos[photo.id] = photo
        if showing.at is None:
            return JSONResponse({"id": photo.id})
        caption = form.fields.get("caption", form.fields.get("message", ""))
        post = self._add(request, page, "photo", caption, showing, None, [photo])
        return JSONResponse({"id": photo.id, "post_id": post.id})

    async def _photo(self, form: Form, page: Page) -> Photo:
        if source := form.files.get("source"):
            file = self.media.new(source.data)
        elif url := form.fields.get("url"):
            try:
                file = await self.media.fetch(url, self.settings.fetches_from)
            except FetchError:
                text = "(#324) Missing or invalid image file"
                raise errors.refusal(324, text, subcode=2069019) from None
        else:
            raise errors.invalid("The parameter url or source is required")
        if file.size > self.settings.photo_bytes or file.kind not in content.PHOTOS:
            text = "(#100) Your photos couldn't be uploaded"
            raise errors.refusal(100, text, subcode=1366046)
        return Photo(self.new_id(), page, file)

    async def add_photo_story(self, request: Request) -> Response:
        """Make a story of a photo that was not published."""
        form = await read_form(request)
        page = self.publisher(request, form)
        photo = self._unused(form.fields.get("photo_id", ""), page)
        showing = Showing(self.clock.now())
        post = self._add(request, page, "story", "", showing, None, [photo])
        return JSONResponse({"success": True, "post_id": post.id})

    # lists

    async def list_published(self, request: Request) -> Response:
        """Return what is seen on the Page, newest first."""
        form = await read_form(request)
        page = self.reader(request, form)
        every: list[Video | PagePost] = [*self._posts.values(), *self._seen_films()]
        public = [
            (at, one)
            for one in every
            if one.page.id == page.id
            and one.kind != "story"
            and self.is_listed(at := _seen_at(one))
        ]
        newest = [one for _, one in sorted(public, key=lambda pair: -(pair[0] or 0))]
        nodes = Lazy(newest, self._post_node)
        return page_of(request, form, nodes, "message", "created_time")

    def _post_node(self, one: Video | PagePost) -> dict[str, Any]:
        """Return a post with what people did with it."""
        if isinstance(one, Video):
            node, film = one.as_post(self.clock), True
        else:
            node, film = one.node(self.clock), False
        at = _seen_at(one)
        if at is None:
            return node
        now = self.world.figures(_made(one, at), self.clock.now())
        shares = {"count": now.shares} if now.shares else None  # none is not told

        def told(arguments: dict[str, str]) -> dict[str, Any]:
            names = [n for n in arguments.get("metric", "").split(",") if n]
            return {"data": self._insights(node["id"], names, now, at, film=film)}

        return node | {
            "shares": shares,
            "comments": _summed(now.comments),
            "reactions": _summed(now.likes),
            "insights": told,
        }

    def _insights(
        self, id_: str, names: list[str], now: Figures, at: float, *, film: bool
    ) -> list[dict[str, Any]]:
        insights.check(names, insights.OF_POST, self.settings.retired_metrics)
        if self.clock.now() < at + self.settings.insights_after_s:
            return []
        has = [name for name in names if film or name not in insights.FILM]
        return insights.told(id_, has, now)

    async def tell_insights(self, request: Request) -> Response:
        """Return the figures of a post, or of a Page by day."""
        form = await read_form(request)
        id_ = request.path_params["id"]
        names = [n for n in form.fields.get("metric", "").split(",") if n]
        one = self._find(id_)
        page = self.reader(request, form, one.page if one else None)
        self.login.caller(request, form).need("read_insights")
        if one:
            node = self._post_node(one)
            told = node.get("insights", lambda _: {"data": []})
            return JSONResponse(told({"metric": ",".join(names)}))
        insights.check(names, insights.PAGE, self.settings.retired_metrics)
        days = self._days(page, form)
        return JSONResponse({"data": insights.told_by_day(page.id, names, days)})

    def _days(self, page: Page, form: Form) -> list[tuple[date, Figures]]:
        """Return what a Page got on the days that are asked for, and are known."""
        late_s = self.settings.page_insights_after_s
        days = [
            day
            for day in insights.days_of(form.fields, self.clock.now())
            if insights.midnight_after(day) + late_s <= self.clock.now()
        ]
        if not days:
            return []
        bounds = list(insights.bounds(days))
        mine = [post for post in self.made() if post.account == page.id]
        courses = [list(self.world.course(post, bounds)) for post in mine]
        return [
            (day, total(c[n + 1].minus(c[n]) for c in courses))
            for n, day in enumerate(days)
        ]

    async def list_scheduled(self, request: Request) -> Response:
        """Return what waits to be seen, the latest first."""
        form = await read_form(request)
        page = self.reader(request, form)
        films = [
            v.as_post(self.clock) for v in self.videos.all.values() if self._due(v)
        ]
        posts = [p.node(self.clock) for p in self._posts.values() if self._due(p)]
        mine = [n for n in [*films, *posts] if n["id"].startswith(f"{page.id}_")]
        return page_of(request, form, mine[::-1], "message", "created_time")

    def _due(self, one: Video | PagePost) -> bool:
        waits = one.waits if isinstance(one, Video) else one.showing.waits
        return waits(self.clock)

    def is_listed(self, at: float | None) -> bool:
        """Tell whether lists show what is seen from *at* on."""
        delay = self.settings.listed_after_s
        return at is not None and self.clock.now() >= at + delay

    # single things

    async def read(self, request: Request) -> Response:
        """Return a Page, a film, a post or a photo."""
        id_ = request.path_params["id"]
        if id_.startswith("upload:"):
            return self.videos.read_upload(request)
        form = await read_form(request)
        if id_ == "me":
            caller = self.login.caller(request, form)
            if caller.page:
                return JSONResponse(shown(self._page_node(caller.page), form, "name"))
            return self.login.me(caller, form)
        if one := self._find(id_):
            self.reader(request, form, one.page)
            return JSONResponse(shown(self._node(one, id_), form, "created_time"))
        if photo := self._photos.get(id_):
            self.reader(request, form, photo.page)
            return JSONResponse(shown({"id": id_, "name": None}, form, "name"))
        page = self.reader(request, form)
        return JSONResponse(shown(self._page_node(page), form, "name"))

    def _page_node(self, page: Page) -> dict[str, Any]:
        count = followers(self.settings.seed, page.id, self.clock.now())
        node = {"id": page.id, "name": page.name, "username": page.username}
        return node | {"followers_count": count, "fan_count": count}

    async def change(self, request: Request) -> Response:
        """Change a film or a post, or publish one that is not yet seen."""
        id_ = request.path_params["id"]
        if id_.startswith("upload:"):
            return await self.videos.send_upload(request)
        form = await read_form(request)
        one = self._find(id_)
        if not one:
            raise errors.not_found(id_, "post")
        self.publisher(request, form, one.page)
        content.check_text(form)
        showing = self._new_showing(form, one)
        if isinstance(one, Video):
            one.title = form.fields.get("name", one.title)
            one.description = form.fields.get("description", one.description)
            if showing:
                self.videos.show(request, one, showing)
        else:
            one.message = form.fields.get("message", one.message)
            if showing:
                fresh = one.showing.at is None
                one.showing = showing
                if fresh and showing.at is not None:
                    self._take_effect(request, one)
        return JSONResponse({"success": True})

    def _new_showing(self, form: Form, one: Video | PagePost) -> Showing | None:
        now = self.clock.now()
        if "scheduled_publish_time" in form.fields:
            at = content.read_schedule(form, self.settings, now)
            if one.showing is None or one.showing.is_public(self.clock):
                raise errors.invalid("The post cannot be scheduled")
            return Showing(at, scheduled=True)
        name = "published" if isinstance(one, Video) else "is_published"
        if not flag(form, name, default=False):
            return None
        if isinstance(one, Video) and one.ready_at is None:
            raise errors.invalid("The video is not uploaded yet", 1363033)
        public = one.showing is not None and one.showing.is_public(self.clock)
        return None if public else Showing(now)

    async def delete(self, request: Request) -> Response:
        """Take a film or a post away."""
        form = await read_form(request)
        id_ = request.path_params["id"]
        one = self._find(id_)
        if not one:
            raise errors.not_found(id_, "delete")
        self.publisher(request, form, one.page)
        self.videos.all.pop(one.id, None)
        self._posts.pop(one.id, None)
        for effect in self.effects:
            if effect.id == one.id:
                effect.details["deleted"] = self.clock.iso()
        return JSONResponse({"success": True})

    async def add_thumbnail(self, request: Request) -> Response:
        """Give a film a picture."""
        form = await read_form(request)
        video = self._video(request, form)
        source = form.files.get("source")
        if not source or len(source.data) > THUMBNAIL_BYTES:
            raise errors.invalid("The parameter source is missing or too large")
        if self.media.new(source.data).kind not in content.PHOTOS:
            raise errors.invalid("The thumbnail is no image")
        video.thumbnails += 1
        return JSONResponse({"success": True})

    async def add_captions(self, request: Request) -> Response:
        """Give a film a track of captions."""
        form = await read_form(request)
        video = self._video(request, form)
        file = form.files.get("captions_file")
        if not file or not CAPTIONS.fullmatch(file.filename or ""):
            text = "The captions file needs a name such as film.en_US.srt"
            raise errors.refusal(385, f"(#385) {text}")
        video.captions.append(file.filename or "")
        return JSONResponse({"success": True})

    async def comment(self, request: Request) -> Response:
        """Add a comment; twice is two comments."""
        form = await read_form(request)
        one = self._commented(request, form)
        message = form.fields.get("message", "")
        if not message:
            raise errors.invalid("The parameter message is required")
        id_ = f"{one.id.rpartition('_')[2]}_{self.new_id()}"
        author = {"id": one.page.id, "name": one.page.name}
        at = graph_time(self.clock.now())
        comment = {"id": id_, "message": message, "from": author, "created_time": at}
        one.comments.append(comment)
        return JSONResponse({"id": id_})

    async def list_comments(self, request: Request) -> Response:
        """Return the comments in the order of their making."""
        form = await read_form(request)
        one = self._commented(request, form)
        return page_of(request, form, one.comments, "created_time", "message")

    def _commented(self, request: Request, form: Form) -> Video | PagePost:
        one = self._find(request.path_params["id"])
        if not one:
            raise errors.not_found(request.path_params["id"])
        self.reader(request, form, one.page)
        self.login.caller(request, form).need("pages_manage_engagement")
        return one

    def _video(self, request: Request, form: Form) -> Video:
        video = self.videos.all.get(request.path_params["id"])
        if not video:
            raise errors.not_found(request.path_params["id"], "post")
        self.publisher(request, form, video.page)
        return video

    def _find(self, id_: str) -> Video | PagePost | None:
        """Return what has that id; a film has that of its post as well."""
        films = self.videos.all.values()
        by_post = next((v for v in films if v.post_id == id_), None)
        return self.videos.all.get(id_) or self._posts.get(id_) or by_post

    def _node(self, one: Video | PagePost, id_: str) -> dict[str, Any]:
        if isinstance(one, Video) and one.id != id_:
            return self._post_node(one)
        if isinstance(one, Video):
            return one.node(self.clock)
        return self._post_node(one)


def _seen_at(one: Video | PagePost) -> float | None:
    return one.seen_at() if isinstance(one, Video) else one.showing.at


def _made(one: Video | PagePost, at: float) -> Made:
    name = one.post_id if isinstance(one, Video) else one.id
    return Made(name=name, account=one.page.id, at=at)


def _summed(count: int) -> Callable[[dict[str, str]], dict[str, Any]]:
    """Return a list of which only the sum is told, where that is asked for."""

    def told(arguments: dict[str, str]) -> dict[str, Any]:
        summary = {"summary": {"total_count": count}}
        return {"data": []} | (summary if "summary" in arguments else {})

    return told
