"""The Data API: videos, and what is put beside them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Clock, Post, Vendor
from nexus_actors.sandbox.forms import Part, split
from nexus_actors.sandbox.growth import Made, World, followers

from . import errors, uploads, videos
from .listing import asked_parts, listing, parsed, section
from .login import GoogleLogin
from .playlists import Playlists
from .quota import Quota
from .reports import Reports
from .settings import FORCE_SSL, MANAGE, READONLY, UPLOAD, Channel, YouTubeSettings
from .uploads import Session, Sessions
from .videos import Video


DAY_S: Final = 86_400

#: From which length on a channel must be verified.
LONG_S: Final = 900

#: Pictures that may be a thumbnail.
THUMBNAILS: Final = {"image/jpeg", "image/png", "image/gif", "image/bmp"}

#: How many videos one request may name.
IDS_MAX: Final = 50

#: To how many figures the number of subscribers is told.
SUBSCRIBER_FIGURES: Final = 3

#: The largest file of captions.
CAPTION_BYTES: Final = 104_857_600


class YouTube(Vendor[YouTubeSettings]):
    """One project, its channels, and their videos."""

    name = "youtube"
    defaults = YouTubeSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.login = GoogleLogin(self)
        self.login.seed()
        self.quota = Quota(self)
        self.sessions = Sessions(self)
        self.videos: dict[str, Video] = {}
        self.playlists = Playlists(self)
        self.reports = Reports(self)

    def configure(self, changes: dict[str, Any]) -> None:
        super().configure(changes)
        self.login.seed()

    def posts(self) -> list[Post]:
        titles = {channel.id: channel.title for channel in self.settings.channels}
        return [
            video.post(titles.get(video.channel, video.channel), self.clock)
            for video in self.videos.values()
        ]

    @property
    def world(self) -> World:
        return World(seed=self.settings.seed, growth=self.settings.growth)

    def made(self) -> list[Made]:
        return [_made(video) for video in self.videos.values()]

    def plant(self, times: Sequence[float]) -> list[str]:
        channel, file = self.settings.channels[0], self.media.new()
        for number, at in enumerate(times):
            id_ = f"sbx{len(self.videos):08}"
            self.videos[id_] = Video(
                id=id_,
                channel=channel.id,
                metadata={
                    "snippet": {"title": f"Planted {number}"},
                    "status": {"privacyStatus": "public"},
                },
                file=file,
                file_name="planted.mp4",
                created_at=at,
                processed_at=at,
                outcome="processed",
            )
        return list(self.videos)[-len(times) :]

    def routes(self) -> Sequence[BaseRoute]:
        api, upload = "/youtube/v3", "/upload/youtube/v3"
        resumable = f"/resumable{upload}/videos"
        return [
            *self.login.routes(),
            *(
                Route(path, endpoint, methods=[method])
                for path in (f"{upload}/videos", resumable)
                for method, endpoint in (
                    ("POST", self.insert),
                    ("PUT", self.put),
                    ("DELETE", self.cancel),
                )
            ),
            Route(f"{upload}/thumbnails/set", self.set_thumbnail, methods=["POST"]),
            Route(f"{upload}/captions", self.insert_caption, methods=["POST"]),
            Route(f"{api}/videos", self.list_videos),
            Route(f"{api}/videos", self.update_video, methods=["PUT"]),
            Route(f"{api}/videos", self.delete_video, methods=["DELETE"]),
            Route(f"{api}/videos:batchGetStats", self.batch_get_stats),
            Route("/v2/reports", self.reports.query),
            Route(f"{api}/channels", self.list_channels),
            Route(f"{api}/captions", self.list_captions),
            Route(f"{api}/captions", self.delete_caption, methods=["DELETE"]),
            Route(f"{api}/videoCategories", self.list_categories),
            *self.playlists.routes(api),
        ]

    # uploads

    async def insert(self, request: Request) -> Response:
        """Open an upload session, or take a whole video in one request."""
        body = await request.body()
        channel = self.login.authorized(request, UPLOAD, MANAGE, FORCE_SSL)
        self.quota.charge_upload()
        parts = asked_parts(request, {*videos.PARTS, *videos.OWNERS_PARTS})
        self._check_channel(channel)
        match request.query_params.get("uploadType"):
            case "resumable":
                metadata = self._metadata(body, parts)
                session = self.sessions.open(request, channel, metadata)
                path = request.url.path.partition(f"/{self.name}")[2]
                query = f"uploadType=resumable&upload_id={session.id}"
                uri = self.url(request, f"{path}?{query}")
                headers = {"Location": uri, "X-GUploader-UploadID": session.id}
                return Response(headers=headers)
            case "multipart":
                first, second = two_parts(request, body)
                uploads.check_media_type(second.content_type)
                metadata = self._metadata(first.data, parts)
                session = self.sessions.open(request, channel, metadata)
                session.file.append(second.data)
                return self._made(request, session, 200)
            case other:
                raise errors.bad_request(f"Invalid upload type: {other}")

    async def put(self, request: Request) -> Response:
        """Take bytes of a session, or say how far it is."""
        if "authorization" in request.headers:
            self.login.authorized(request, UPLOAD, MANAGE, FORCE_SSL)
        session = self.sessions.find(request)
        if session.video:
            # the caller has lost the answer
            return self._answered(session, 200)
        answer = await self.sessions.take(request, session)
        return answer or self._made(request, session, 201)

    async def cancel(self, request: Request) -> Response:
        """End a session without a video."""
        return self.sessions.cancel(self.sessions.find(request))

    def _check_channel(self, channel: Channel) -> None:
        if channel.state == "none":
            text = "The user must have a YouTube channel."
            raise errors.refusal(401, "youtubeSignupRequired", text)
        since = self.clock.now() - DAY_S
        recent = [v for v in self._of(channel) if v.created_at > since]
        if len(recent) >= self.settings.uploads_per_channel:
            text = "The user has exceeded the number of videos they may upload."
            raise errors.refusal(400, "uploadLimitExceeded", text)

    def _metadata(self, body: bytes, parts: set[str]) -> dict[str, dict[str, Any]]:
        metadata = videos.checked(parsed(body), parts)
        videos.check_snippet(metadata["snippet"])
        videos.check_status(metadata["status"])
        return metadata

    def _made(self, request: Request, session: Session, status: int) -> Response:
        settings, now, file = self.settings, self.clock.now(), session.file
        video = Video(
            id=secrets.token_urlsafe(8),
            channel=session.channel.id,
            metadata=session.metadata,
            file=file,
            file_name=session.file_name,
            created_at=now,
            processed_at=now + settings.processing_s,
            outcome=self._flaw(session) or settings.outcome,
            locked_private=settings.unaudited,
        )
        self.videos[video.id], session.video = video, video.id
        if video.succeeds:
            self.took_effect(
                "video",
                video.id,
                request,
                channel=video.channel,
                title=video.metadata["snippet"]["title"],
                privacy=video.privacy(self.clock),
                publish_at=video.metadata["status"].get("publishAt"),
                file_name=video.file_name,
                size=file.size,
                sha256=file.sha256(),
                notify=request.query_params.get("notifySubscribers", "true"),
            )
        return self._answered(session, status)

    def _flaw(self, session: Session) -> str | None:
        """Return why YouTube does not take the file."""
        file, channel = session.file, session.channel
        if not (file.kind or "").startswith("video/"):
            return "invalidFile"
        long = (file.duration_s or 0) > LONG_S
        return "length" if long and channel.long_uploads != "allowed" else None

    def _answered(self, session: Session, status: int) -> Response:
        video = self.videos.get(session.video or "")
        if not video:
            raise errors.video_not_found()
        parts = {"snippet", "status"}
        shown = videos.resource(video, session.channel, parts, self.clock)
        return uploads.complete(shown, status)

    # videos

    async def list_videos(self, request: Request) -> Response:
        """Return the videos of the ids that are asked for, as far as they are there."""
        channel = self.login.authorized(request, READONLY, MANAGE, FORCE_SSL)
        self.quota.charge(1)
        parts = asked_parts(request, {*videos.PARTS, *videos.OWNERS_PARTS})
        ids = request.query_params.get("id", "").split(",")
        if ids == [""]:
            text = "No filter selected. Expected one of: id, chart, myRating"
            raise errors.refusal(400, "missingRequiredParameter", text)
        if len(ids) > IDS_MAX:  # so it is said; not in the reference
            text = "The request specifies an invalid filter parameter."
            raise errors.refusal(400, "invalidFilters", text)
        found = [v for id_ in ids if (v := self.videos.get(id_))]
        seen = [v for v in found if self._may_see(channel, v)]
        if parts & videos.OWNERS_PARTS and any(v.channel != channel.id for v in seen):
            raise errors.forbidden("These parts are the owner's to see.")
        shown = [self.resource(video, parts) for video in seen]
        return listing(request, "videoListResponse", shown, default=len(shown) or 1)

    async def batch_get_stats(self, request: Request) -> Response:
        """Return the statistics of the videos of the ids, as far as they are there."""
        channel = self.login.authorized(request, READONLY, MANAGE, FORCE_SSL)
        self.quota.charge_stats()
        known = {"id", "snippet", "statistics", "contentDetails"}
        parts = asked_parts(request, known)
        given = request.query_params.getlist("id")
        ids = [id_ for text in given for id_ in text.split(",") if id_]
        if not 1 <= len(ids) <= IDS_MAX:
            raise errors.bad_request("Request contains an invalid argument.")
        found = [v for id_ in ids if (v := self.videos.get(id_))]
        seen = [v for v in found if self._may_see(channel, v)]
        items = [videos.stats(v, parts, self._statistics(v), self.clock) for v in seen]
        return JSONResponse(videos.tagged("batchGetStatsResponse", items=items))

    async def update_video(self, request: Request) -> Response:
        """Replace whole parts of a video."""
        body = parsed(await request.body())
        channel = self.login.authorized(request, MANAGE, FORCE_SSL)
        self.quota.charge(50)
        parts = asked_parts(request, {*videos.PARTS, *videos.OWNERS_PARTS})
        metadata = videos.checked(body, parts)
        video = self.own_video(channel, str(body.get("id")))
        if "snippet" in parts:
            videos.check_snippet(metadata["snippet"])
            if "categoryId" not in metadata["snippet"]:
                text = "The request metadata specifies an invalid category ID."
                raise errors.invalid("invalidCategoryId", "snippet.categoryId", text)
        if "status" in parts:
            was_public = video.privacy(self.clock) == "public"
            videos.check_status(metadata["status"], was_public=was_public)
        video.metadata |= {name: metadata[name] for name in metadata if name in parts}
        return JSONResponse(self.resource(video, parts))

    async def delete_video(self, request: Request) -> Response:
        """Take a video away."""
        channel = self.login.authorized(request, MANAGE, FORCE_SSL)
        self.quota.charge(50)
        video = self.own_video(channel, request.query_params.get("id", ""))
        del self.videos[video.id]
        for effect in self.effects:
            if effect.id == video.id:
                effect.details["deleted"] = self.clock.iso()
        return Response(status_code=204)

    def resource(self, video: Video, parts: set[str]) -> dict[str, Any]:
        """Return the video as the API shows it."""
        owner = next(c for c in self.settings.channels if c.id == video.channel)
        shown = videos.resource(video, owner, parts - {"statistics"}, self.clock)
        if "statistics" in parts:
            shown["statistics"] = self._statistics(video)
        return shown

    def _statistics(self, video: Video) -> dict[str, str]:
        """Return what people did with a video; numbers as text, as JSON has no larger.

        What the creator hides is not there.
        """
        now = self.world.figures(_made(video), self.clock.now())
        shown = {"viewCount": str(now.views), "favoriteCount": "0"}
        if not self.settings.likes_hidden:
            shown["likeCount"] = str(now.likes)
        if not self.settings.comments_off:
            shown["commentCount"] = str(now.comments)
        return shown

    def _channel_statistics(self, channel: Channel) -> dict[str, Any]:
        now, seed = self.clock.now(), self.settings.seed
        mine = self.posts_of(channel)
        views = sum(self.world.figures(post, now).views for post in mine)
        hidden = self.settings.subscribers_hidden
        shown = {
            "viewCount": str(views),
            "hiddenSubscriberCount": hidden,
            "videoCount": str(len(mine)),
        }
        if hidden:
            return shown
        count = followers(seed, channel.id, now)
        unit = 10 ** max(0, len(str(count)) - SUBSCRIBER_FIGURES)
        return shown | {"subscriberCount": str(count // unit * unit)}

    def posts_of(self, channel: Channel) -> list[Made]:
        """Return the videos of a channel."""
        return [post for post in self.made() if post.account == channel.id]

    def own_video(self, channel: Channel, id_: str) -> Video:
        """Return a video that *channel* may change.

        Raises:
            Refusal: There is none, or it is not this channel's.
        """
        video = self.videos.get(id_)
        if not video or not self._may_see(channel, video):
            raise errors.video_not_found()
        if video.channel != channel.id:
            raise errors.forbidden()
        return video

    def listed(self, channel: Channel) -> list[Video]:
        """Return the uploads of a channel that lists show, newest first."""
        before = self.clock.now() - self.settings.listed_after_s
        return [v for v in reversed(self._of(channel)) if v.created_at <= before]

    def _of(self, channel: Channel) -> list[Video]:
        return [v for v in self.videos.values() if v.channel == channel.id]

    def _may_see(self, channel: Channel, video: Video) -> bool:
        return video.channel == channel.id or video.privacy(self.clock) != "private"

    # beside them

    async def set_thumbnail(self, request: Request) -> Response:
        """Give a video a picture."""
        body = await request.body()
        channel = self.login.authorized(request, UPLOAD, MANAGE, FORCE_SSL)
        self.quota.charge(50)
        video = self.own_video(channel, request.query_params.get("videoId", ""))
        if not channel.may_set_thumbnails:
            text = (
                "The authenticated user doesn't have permissions to upload and set "
                "custom video thumbnails."
            )
            domain = "youtube.thumbnail"
            raise errors.refusal(403, "forbidden", text, domain=domain)
        if not body:
            text = "The request does not include the image content."
            domain = "youtube.thumbnail"
            raise errors.refusal(400, "mediaBodyRequired", text, domain=domain)
        if len(body) > self.settings.thumbnail_bytes:
            raise uploads.too_large(self.settings.thumbnail_bytes)
        if self.media.new(body).kind not in THUMBNAILS:
            text = "The provided image content is invalid."
            domain = "youtube.thumbnail"
            raise errors.refusal(400, "invalidImage", text, domain=domain)
        video.has_thumbnail = True
        items = [videos.thumbnails(video.id)]
        return JSONResponse(videos.tagged("thumbnailSetResponse", items=items))

    async def insert_caption(self, request: Request) -> Response:
        """Give a video a track of captions."""
        body = await request.body()
        channel = self.login.authorized(request, FORCE_SSL)
        self.quota.charge(400)
        asked_parts(request, {"id", "snippet"})
        first, second = two_parts(request, body)
        snippet = section(parsed(first.data), "snippet")
        video = self.own_video(channel, str(snippet.get("videoId")))
        domain = "youtube.caption"
        texts = [snippet.get("language"), snippet.get("name")]
        if not texts[0] or not all(isinstance(text, str) for text in texts):
            text = "The request contains invalid metadata values."
            raise errors.refusal(400, "invalidMetadata", text, domain=domain)
        if not second.data:
            text = "The request does not include the caption content."
            raise errors.refusal(400, "contentRequired", text, domain=domain)
        if len(second.data) > CAPTION_BYTES:
            raise uploads.too_large(CAPTION_BYTES)
        track = (snippet["language"], snippet["name"])
        known = [(c["language"], c["name"]) for c in video.captions.values()]
        if track in known:
            text = "The specified video already has a track of that language and name."
            raise errors.refusal(409, "captionExists", text, domain=domain)
        id_ = secrets.token_urlsafe(24)
        video.captions[id_] = {
            "videoId": video.id,
            "language": track[0],
            "name": track[1],
            "isDraft": bool(snippet.get("isDraft")),
            "trackKind": "standard",
            "audioTrackType": "unknown",
            "isCC": False,
            "isLarge": False,
            "isEasyReader": False,
            "isAutoSynced": False,
            "status": "serving",
            "lastUpdated": videos.format_time(self.clock.now()),
        }
        return JSONResponse(videos.tagged("caption", id_, snippet=video.captions[id_]))

    async def list_captions(self, request: Request) -> Response:
        """Return the tracks of a video."""
        channel = self.login.authorized(request, FORCE_SSL)
        self.quota.charge(50)
        asked_parts(request, {"id", "snippet"})
        video = self.own_video(channel, request.query_params.get("videoId", ""))
        tracks = [
            videos.tagged("caption", id_, snippet=snippet)
            for id_, snippet in video.captions.items()
        ]
        answer = videos.tagged("captionListResponse", items=tracks)
        return JSONResponse(answer)

    async def delete_caption(self, request: Request) -> Response:
        """Take a track away."""
        channel = self.login.authorized(request, FORCE_SSL)
        self.quota.charge(50)
        id_ = request.query_params.get("id", "")
        for video in self._of(channel):
            if video.captions.pop(id_, None):
                return Response(status_code=204)
        text = "The specified caption track could not be found."
        domain = "youtube.caption"
        raise errors.refusal(404, "captionNotFound", text, domain=domain)

    async def list_channels(self, request: Request) -> Response:
        """Return the channel of the token; none for an account without one."""
        channel = self.login.authorized(request, READONLY, MANAGE, FORCE_SSL)
        self.quota.charge(1)
        known = {"id", "snippet", "contentDetails", "statistics", "status"}
        parts = asked_parts(request, known)
        ids = request.query_params.get("id", "").split(",")
        if request.query_params.get("mine") != "true" and ids == [""]:
            text = "No filter selected. Expected one of: mine, id"
            raise errors.refusal(400, "missingRequiredParameter", text)
        mine = request.query_params.get("mine") == "true"
        found = [
            _channel(c, parts, self._channel_statistics(c), mine=c.id == channel.id)
            for c in self.settings.channels
            if c.state != "none" and (c.id == channel.id if mine else c.id in ids)
        ]
        return listing(request, "channelListResponse", found)

    async def list_categories(self, request: Request) -> Response:
        """Return the categories that a video may be in."""
        self.login.authorized(request, READONLY, MANAGE, FORCE_SSL)
        self.quota.charge(1)
        asked_parts(request, {"snippet"})
        items = [
            videos.tagged(
                "videoCategory", id_, snippet={"title": t, "assignable": True}
            )
            for id_, t in videos.CATEGORIES.items()
        ]
        return listing(request, "videoCategoryListResponse", items, default=len(items))


def _made(video: Video) -> Made:
    at = max(video.created_at, video.publish_at() or 0)
    return Made(name=video.id, account=video.channel, at=at)


def _channel(
    channel: Channel, parts: set[str], statistics: dict[str, Any], *, mine: bool
) -> dict[str, Any]:
    status = {"privacyStatus": "public", "isLinked": True}
    if mine:
        status["longUploadsStatus"] = channel.long_uploads
    whole = {
        "snippet": {
            "title": channel.title,
            "description": "",
            "publishedAt": "2020-01-01T00:00:00Z",
            "thumbnails": {},
        },
        "contentDetails": {
            "relatedPlaylists": {"likes": "", "uploads": channel.uploads}
        },
        "statistics": statistics,
        "status": status,
    }
    shown = {name: part for name, part in whole.items() if name in parts}
    return videos.tagged("channel", channel.id, **shown)


def two_parts(request: Request, body: bytes) -> tuple[Part, Part]:
    """Return metadata and media of a ``multipart/related`` body.

    Raises:
        Refusal: It is none.
    """
    try:
        first, second = split(body, request.headers.get("content-type", ""))
    except ValueError:
        raise errors.bad_request("Malformed multipart body.") from None
    return first, second
