"""The Content Posting API, and what the account's owner may read."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Clock, Post, Vendor
from nexus_actors.sandbox.forms import json_object
from nexus_actors.sandbox.growth import Figures, Made, World, followers
from nexus_actors.sandbox.media import LOOPBACK, FetchError, arriving
from nexus_actors.sandbox.window import Window

from . import errors, posts
from .login import TikTokLogin
from .posts import RANGE, Publication, Upload
from .settings import Creator, TikTokSettings


DAY_S: Final = 86_400

#: How often a minute one token may ask each of these.
RATES: Final = {
    "creator_info": 20,
    "init": 6,
    "status": 30,
    "list": 600,
    "query": 600,
    "user": 600,
}

#: Which scope each field of an account needs.
USER_FIELDS: Final = {
    "open_id": "user.info.basic",
    "union_id": "user.info.basic",
    "avatar_url": "user.info.basic",
    "display_name": "user.info.basic",
    "username": "user.info.profile",
    "bio_description": "user.info.profile",
    "is_verified": "user.info.profile",
    "follower_count": "user.info.stats",
    "following_count": "user.info.stats",
    "likes_count": "user.info.stats",
    "video_count": "user.info.stats",
}

#: What is cut off of a description in a list.
LISTED_CHARS: Final = 150
LISTED_MAX: Final = 20


class TikTok(Vendor[TikTokSettings]):
    """One app, and the creators who let it post."""

    name = "tiktok"
    defaults = TikTokSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.login = TikTokLogin(self)
        self.login.seed()
        self._minute = Window(clock, 60)
        self._day = Window(clock, DAY_S)
        self._publications: dict[str, Publication] = {}
        self._uploads: dict[str, Upload] = {}
        self._next_post = 7_400_000_000_000_000_001

    def configure(self, changes: dict[str, Any]) -> None:
        super().configure(changes)
        self.login.seed()

    def posts(self) -> list[Post]:
        sent = [p for p in self._publications.values() if p.committed_at is not None]
        return [publication.post(self.clock) for publication in sent]

    @property
    def world(self) -> World:
        return World(seed=self.settings.seed, growth=self.settings.growth)

    def made(self) -> list[Made]:
        return [
            _made(id_, publication)
            for publication in self._publications.values()
            for id_ in publication.public_ids(self.clock)
        ]

    def plant(self, times: Sequence[float]) -> list[str]:
        creator, file = self.settings.creators[0], self.media.new()
        planted: list[str] = []
        for number, at in enumerate(times):
            info = {"title": f"Planted {number}", "privacy_level": posts.PUBLIC}
            publication = self._new(creator, "v_pub", info, pulled=False)
            lasts = self.settings.processing_s + self.settings.moderation_s
            publication.created_at = publication.committed_at = at - lasts
            publication.files.append(file)
            publication.post_ids = [self._next_post]
            self._next_post += 1
            self._publications[publication.id] = publication
            planted += map(str, publication.post_ids)
        return planted

    def routes(self) -> Sequence[BaseRoute]:
        publish = "/v2/post/publish"
        calls = {
            f"{publish}/creator_info/query/": self.creator_info,
            f"{publish}/video/init/": self.init_video,
            f"{publish}/inbox/video/init/": self.init_draft,
            f"{publish}/content/init/": self.init_content,
            f"{publish}/status/fetch/": self.fetch_status,
            f"{publish}/cancel/": self.cancel,
            "/v2/video/list/": self.list_videos,
            "/v2/video/query/": self.query_videos,
        }
        return [
            *self.login.routes(),
            *(Route(path, call, methods=["POST"]) for path, call in calls.items()),
            Route("/v2/user/info/", self.user_info),
            Route("/video/", self.put, methods=["PUT"]),
        ]

    # before a post

    async def creator_info(self, request: Request) -> Response:
        """Tell what the creator may post; that nothing may be comes with status 200."""
        creator = self._authorized(request, "creator_info", "video.publish")
        if problem := self._cannot_post(creator):
            raise errors.refusal(problem, status=200)
        return errors.answer(
            {
                "creator_avatar_url": "https://p16.tiktokcdn.com/sandbox.jpeg",
                "creator_username": creator.username,
                "creator_nickname": creator.nickname,
                "privacy_level_options": creator.privacy_levels,
                "comment_disabled": creator.comment_disabled,
                "duet_disabled": creator.duet_disabled,
                "stitch_disabled": creator.stitch_disabled,
                "max_video_post_duration_sec": creator.max_duration_s,
            }
        )

    def _cannot_post(self, creator: Creator) -> str | None:
        if creator.banned:
            return "spam_risk_user_banned_from_posting"
        if self.settings.user_cap_reached:
            return "reached_active_user_cap"
        if self._day.count(creator.id) >= self.settings.posts_per_day:
            return "spam_risk_too_many_posts"
        return None

    # posts

    async def init_video(self, request: Request) -> Response:
        """Begin a video; one that TikTok fetches is a post from here on."""
        body = await _parsed(request)
        creator = self._authorized(request, "init", "video.publish")
        info, source = _object(body, "post_info"), _object(body, "source_info")
        posts.check_video(info)
        self._check_post(creator, info)
        return await self._begin(request, creator, "v_pub", source, info)

    async def init_draft(self, request: Request) -> Response:
        """Begin a video that the person finishes in the app."""
        body = await _parsed(request)
        creator = self._authorized(request, "init", "video.upload")
        source = _object(body, "source_info")
        self._check_draft(creator)
        return await self._begin(request, creator, "v_inbox", source, {})

    async def init_content(self, request: Request) -> Response:
        """Begin photos, which TikTok always fetches."""
        body = await _parsed(request)
        mode = body.get("post_mode")
        if mode not in {"DIRECT_POST", "MEDIA_UPLOAD"}:
            raise errors.invalid("post_mode is invalid")
        if body.get("media_type") != "PHOTO":
            raise errors.invalid("media_type is invalid")
        draft = mode == "MEDIA_UPLOAD"
        scope = "video.upload" if draft else "video.publish"
        creator = self._authorized(request, "init", scope)
        info, source = _object(body, "post_info"), _object(body, "source_info")
        posts.check_photos(info, source)
        if draft:
            self._check_draft(creator)
        else:
            self._check_post(creator, info)
        urls = source["photo_images"]
        self._check_urls(urls)
        prefix = "p_inbox" if draft else "p_pub"
        publication = self._new(creator, prefix, info, pulled=True)
        await self._pull(request, publication, urls)
        return errors.answer({"publish_id": publication.id})

    async def _begin(
        self,
        request: Request,
        creator: Creator,
        prefix: str,
        source: dict[str, Any],
        info: dict[str, Any],
    ) -> Response:
        if source.get("source") == "FILE_UPLOAD":
            plan, file = posts.check_plan(source), self.media.new()
            publication = self._new(creator, prefix, info, pulled=False)
            publication.files.append(file)
            token = secrets.token_urlsafe(24)
            self._publications[publication.id] = publication
            self._uploads[token] = Upload(publication, plan, file)
            query = f"upload_id={publication.id}&upload_token={token}"
            address = self.url(request, f"/video/?{query}")
            data = {"publish_id": publication.id, "upload_url": address}
            return errors.answer(data)
        if source.get("source") != "PULL_FROM_URL":
            raise errors.invalid("source is invalid")
        url = source.get("video_url")
        self._check_urls([url])
        publication = self._new(creator, prefix, info, pulled=True)
        await self._pull(request, publication, [str(url)])
        return errors.answer({"publish_id": publication.id})

    def _new(
        self,
        creator: Creator,
        prefix: str,
        info: dict[str, Any],
        *,
        pulled: bool,
    ) -> Publication:
        way = "url" if pulled else "file"
        return Publication(
            id=f"{prefix}_{way}~v2.{secrets.randbelow(10**18):018}",
            creator=creator,
            kind="photos" if prefix.startswith("p") else "video",
            draft=prefix.endswith("inbox"),
            pulled=pulled,
            info=info,
            created_at=self.clock.now(),
            files=[],
            settings=self.settings,
        )

    async def _pull(
        self, request: Request, publication: Publication, urls: list[str]
    ) -> None:
        hosts = self.settings.verified_hosts
        try:
            fetched = [self.media.fetch(url, hosts) for url in urls]
            publication.files.extend(await asyncio.gather(*fetched))
        except FetchError:
            kind = "photo" if publication.kind == "photos" else "video"
            publication.failure = f"{kind}_pull_failed"
        self._publications[publication.id] = publication
        self._commit(request, publication)

    def _check_post(self, creator: Creator, info: dict[str, Any]) -> None:
        level = info.get("privacy_level")
        if not level:
            raise errors.invalid("privacy_level is required")
        if level not in creator.privacy_levels:
            raise errors.refusal("privacy_level_option_mismatch")
        private = creator.private and level == "SELF_ONLY"
        if not self.settings.audited and not private:
            code = "unaudited_client_can_only_post_to_private_accounts"
            raise errors.refusal(code)
        if problem := self._cannot_post(creator):
            raise errors.refusal(problem)

    def _check_draft(self, creator: Creator) -> None:
        since = self.clock.now() - DAY_S
        pending = [
            p
            for p in self._publications.values()
            if p.draft
            and p.creator.id == creator.id
            and (p.committed_at or 0) > since
            and p.status(self.clock) not in {"FAILED", "PUBLISH_COMPLETE"}
        ]
        if len(pending) >= self.settings.drafts_per_day:
            raise errors.refusal("spam_risk_too_many_pending_share")

    def _check_urls(self, urls: list[Any]) -> None:
        for url in urls:
            if not isinstance(url, str) or not url.isascii():
                raise errors.invalid("The URL is invalid")
            parts = urlsplit(url)
            # this machine stands in for a verified host
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise errors.invalid("The URL is invalid")
            if parts.hostname not in self.settings.verified_hosts:
                raise errors.refusal("url_ownership_unverified")

    def _commit(self, request: Request, publication: Publication) -> None:
        """Take it as a post from here on."""
        settings, creator = self.settings, publication.creator
        publication.committed_at = self.clock.now()
        publication.settings = settings
        outcome = None if settings.outcome == "complete" else settings.outcome
        publication.failure = publication.failure or _flaw(publication) or outcome
        if publication.failure:
            return
        publication.post_ids = [self._next_post + n for n in range(settings.post_ids)]
        self._next_post += settings.post_ids
        if not publication.draft:
            self._day.add(creator.id)
        publication.effect = self.took_effect(
            "draft" if publication.draft else publication.kind,
            publication.id,
            request,
            creator=creator.username,
            text=publication.caption,
            privacy=publication.privacy,
            info=publication.info,
            files=[
                {"size": file.size, "sha256": file.sha256()}
                for file in publication.files
            ],
        )

    async def put(self, request: Request) -> Response:
        """Take a chunk; the last one is the post.  Half a chunk is not kept."""
        body, whole = await arriving(request)
        upload = self._uploads.get(request.query_params.get("upload_token", ""))
        if not upload or upload.publication.cancelled:
            raise errors.refusal("not_found", "Upload task not found", 404)
        publication, file = upload.publication, upload.file
        if self.clock.now() >= publication.created_at + self.settings.upload_s:
            raise errors.refusal("forbidden", "The upload_url has expired", 403)
        _check_chunk(request, upload, len(body) if whole else None)
        if whole:
            file.append(body[: self.settings.stores_at_most])
        if file.size < upload.plan.size:
            return Response(status_code=206, headers=upload.progress())
        self._commit(request, publication)
        return Response(status_code=201, headers=upload.progress())

    async def fetch_status(self, request: Request) -> Response:
        """Tell what has become of a post."""
        body = await _parsed(request)
        creator = self._authorized(request, "status", "video.publish", "video.upload")
        publication = self._own(creator, body)
        return errors.answer(publication.told(self.clock))

    async def cancel(self, request: Request) -> Response:
        """End a post that is not yet made."""
        body = await _parsed(request)
        creator = self._authorized(request, "status", "video.publish", "video.upload")
        publication = self._own(creator, body)
        if not publication.status(self.clock).startswith("PROCESSING"):
            raise errors.refusal("publish_not_cancellable")
        publication.cancelled = True
        if publication.effect:
            self.effects.remove(publication.effect)
            publication.effect = None
        return errors.answer({})

    def _own(self, creator: Creator, body: dict[str, Any]) -> Publication:
        publication = self._publications.get(str(body.get("publish_id")))
        if not publication:
            raise errors.refusal("invalid_publish_id")
        if publication.creator.id != creator.id:
            raise errors.refusal("token_not_authorized_for_specified_publish_id")
        return publication

    # what the owner may read

    async def list_videos(self, request: Request) -> Response:
        """Return the public videos, newest first."""
        body = await _parsed(request)
        creator = self._authorized(request, "list", "video.list")
        fields = _fields(request, self._video_fields())
        count, cursor = body.get("max_count", 10), body.get("cursor")
        if type(count) is not int or not 1 <= count <= LISTED_MAX:
            raise errors.invalid("max_count is invalid")
        if cursor is not None and type(cursor) is not int:
            raise errors.invalid("cursor is invalid")
        found = self._public(creator)
        found.sort(key=lambda pair: -_made_at(pair[1]))
        rest = [p for p in found if not cursor or _made_at(p[1]) * 1000 < cursor]
        page = rest[:count]
        videos = [self._video(id_, publication, fields) for id_, publication in page]
        after = int(_made_at(page[-1][1]) * 1000) if page else cursor or 0
        more = len(rest) > count
        return errors.answer({"videos": videos, "cursor": after, "has_more": more})

    async def query_videos(self, request: Request) -> Response:
        """Return those of the asked videos that are the creator's, and public."""
        body = await _parsed(request)
        creator = self._authorized(request, "query", "video.list")
        fields = _fields(request, self._video_fields())
        ids = _object(body, "filters").get("video_ids")
        if not isinstance(ids, list) or not 1 <= len(ids) <= LISTED_MAX:
            raise errors.invalid("video_ids is invalid")
        if not all(isinstance(id_, str) for id_ in ids):
            raise errors.invalid("video_ids is invalid")
        known = {str(id_): (id_, found) for id_, found in self._public(creator)}
        found = [known[id_] for id_ in dict.fromkeys(ids) if id_ in known]
        videos = [self._video(id_, publication, fields) for id_, publication in found]
        return errors.answer({"videos": videos})

    def _video_fields(self) -> dict[str, Any]:
        retired = self.settings.retired_fields
        return {n: v for n, v in VIDEO_FIELDS.items() if n not in retired}

    def _public(self, creator: Creator) -> list[tuple[int, Publication]]:
        return [
            (id_, publication)
            for publication in self._publications.values()
            if publication.creator.id == creator.id
            for id_ in publication.public_ids(self.clock)
        ]

    def _video(
        self, id_: int, publication: Publication, fields: list[str]
    ) -> dict[str, Any]:
        now = self.world.figures(_made(id_, publication), self.clock.now())
        return {name: VIDEO_FIELDS[name](id_, publication, now) for name in fields}

    async def user_info(self, request: Request) -> Response:
        """Return what the token may know of the account."""
        names = _fields(request, USER_FIELDS)
        for name in names:
            self._authorized(request, None, USER_FIELDS[name])
        creator = self._authorized(request, "user", *(USER_FIELDS[n] for n in names))
        now, seed = self.clock.now(), self.settings.seed
        mine = [post for post in self.made() if post.account == creator.id]
        counted = mine if "likes_count" in names else []
        likes = [self.world.figures(post, now).likes for post in counted]
        known = {
            "open_id": creator.id,
            "union_id": f"union-{creator.id}",
            "avatar_url": "https://p16.tiktokcdn.com/sandbox.jpeg",
            "display_name": creator.nickname,
            "username": creator.username,
            "bio_description": "",
            "is_verified": False,
            "follower_count": followers(seed, creator.id, now),
            "following_count": 0,
            "likes_count": sum(likes),
            "video_count": len(mine),
        }
        return errors.answer({"user": {name: known[name] for name in names}})

    def _authorized(self, request: Request, rate: str | None, *scopes: str) -> Creator:
        creator = self.login.authorized(request, *scopes)
        if rate is None:
            return creator
        key = f"{request.headers['authorization']} {request.url.path}"
        if self._minute.count(key) >= RATES[rate]:
            raise errors.refusal("rate_limit_exceeded")
        self._minute.add(key)
        return creator


def _flaw(publication: Publication) -> str | None:
    """Return why TikTok does not take the files."""
    photos = publication.kind == "photos"
    wanted = posts.PHOTOS if photos else posts.VIDEOS
    limit = posts.PHOTO_BYTES if photos else posts.VIDEO_BYTES
    for file in publication.files:
        if file.kind not in wanted:
            return "file_format_check_failed"
        if file.size > limit:
            return "picture_size_check_failed" if photos else "file_format_check_failed"
        if (file.duration_s or 0) > publication.creator.max_duration_s:
            return "duration_check_failed"
    return None


def _check_chunk(request: Request, upload: Upload, size: int | None) -> None:
    """Check that the chunk is the next one; *size* is None for a part of one."""
    plan = upload.plan
    match = RANGE.fullmatch(request.headers.get("content-range", ""))
    if request.headers.get("content-type") not in posts.VIDEOS or not match:
        raise errors.refusal("bad_request", "The headers are invalid", 400)
    first, last, total = map(int, match.groups())
    if total != plan.size or size not in {None, last - first + 1}:
        raise errors.refusal("bad_request", "The length does not match", 400)
    if first != upload.file.size or last < first or not plan.is_end(last):
        refusal = errors.refusal("range", "The range does not match", 416)
        refusal.response.headers.update(upload.progress())
        raise refusal


def _made(id_: int, publication: Publication) -> Made:
    at = _made_at(publication)
    return Made(name=str(id_), account=publication.creator.id, at=at)


def _made_at(publication: Publication) -> float:
    return publication.done_at() or 0


VIDEO_FIELDS: Final[dict[str, Callable[[int, Publication, Figures], Any]]] = {
    "id": lambda id_, _, __: str(id_),
    "create_time": lambda _, p, __: int(_made_at(p)),
    "title": lambda _, p, __: p.caption[:LISTED_CHARS],
    "video_description": lambda _, p, __: p.caption[:LISTED_CHARS],
    "duration": lambda _, p, __: int(p.files[0].duration_s or 0),
    "share_url": lambda id_, p, __: _page_of(id_, p),
    "cover_image_url": lambda id_, _, __: f"https://p16.example/{id_}.jpg",
    "embed_link": lambda id_, _, __: f"https://www.tiktok.com/embed/v2/{id_}",
    "is_aigc": lambda _, p, __: bool(p.info.get("is_aigc")),
    "like_count": lambda _, __, now: now.likes,
    "comment_count": lambda _, __, now: now.comments,
    "share_count": lambda _, __, now: now.shares,
    "view_count": lambda _, __, now: now.views,
}


def _page_of(id_: int, publication: Publication) -> str:
    return f"https://www.tiktok.com/@{publication.creator.username}/video/{id_}"


def _fields(request: Request, known: dict[str, Any]) -> list[str]:
    names = [n for n in request.query_params.get("fields", "").split(",") if n]
    if not names or not set(names) <= set(known):
        raise errors.invalid("fields is invalid")
    return names


async def _parsed(request: Request) -> dict[str, Any]:
    body, kind = await request.body(), request.headers.get("content-type", "")
    try:
        if kind.startswith("application/json") and body:
            return json_object(body)
    except ValueError:
        pass
    raise errors.invalid("The body is no JSON object")


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise errors.invalid(f"{name} is required")
    return value
