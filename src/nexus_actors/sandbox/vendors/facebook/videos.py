"""The ways in which a film gets to a Page.

Reels and stories: start, bytes at an address of their own, finish.  Page videos: start,
windows that Facebook chooses, finish; or a file with one call, which is a post at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Refusal
from nexus_actors.sandbox.forms import Form, read_form
from nexus_actors.sandbox.media import FetchError, MediaFile, arriving
from nexus_actors.sandbox.vendors.meta import errors, rupload
from nexus_actors.sandbox.vendors.meta.graph import page_of
from nexus_actors.sandbox.vendors.meta.settings import Page
from nexus_actors.sandbox.window import Window

from . import content
from .content import Showing, Video


if TYPE_CHECKING:
    from .vendor import Facebook


DAY_S: Final = 86_400

WAYS: Final = {"video_reels": "reel", "video_stories": "story", "videos": "video"}


class Videos:
    """All films, and the uploads that are not yet any."""

    def __init__(self, vendor: Facebook) -> None:
        self._vendor = vendor
        self.all: dict[str, Video] = {}
        self._sessions: dict[str, Video] = {}
        self._uploads: dict[str, rupload.Upload] = {}
        self._handles: dict[str, rupload.Upload] = {}
        self._day = Window(vendor.clock, DAY_S)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes by which films come."""
        route = self._vendor.graph.route
        return [
            Route("/video-upload/{version}/{id}", self.send, methods=["POST"]),
            route("POST", "/{id}/video_reels", self.reel),
            route("GET", "/{id}/video_reels", self.list_reels),
            route("POST", "/{id}/video_stories", self.story),
            route("POST", "/{id}/videos", self.video),
            route("GET", "/{id}/videos", self.list_videos),
            route("POST", "/{id}/uploads", self.open_upload),
        ]

    # reels and stories

    async def reel(self, request: Request) -> Response:
        """Start or finish a reel."""
        return await self._two_steps(request, "reel")

    async def story(self, request: Request) -> Response:
        """Start or finish a story."""
        return await self._two_steps(request, "story")

    async def _two_steps(self, request: Request, kind: Any) -> Response:
        form = await read_form(request)
        page = self._vendor.publisher(request, form)
        # the guide writes it small, and Meta's own SDK large
        match form.fields.get("upload_phase", "").lower():
            case "start":
                video = self._new(request, page, kind)
                path = f"/video-upload/{video.upload.version}/{video.id}"
                address = self._vendor.url(request, path)
                return JSONResponse({"video_id": video.id, "upload_url": address})
            case "finish":
                return self._finish(request, form, page, kind)
            case _:
                raise errors.invalid("Param upload_phase must be one of start, finish")

    def _finish(self, request: Request, form: Form, page: Page, kind: str) -> Response:
        video = self.all.get(form.fields.get("video_id", ""))
        if not video or video.page.id != page.id or video.kind != kind:
            raise errors.not_found(form.fields.get("video_id", ""), "post")
        if video.showing:
            raise errors.invalid("The video was already published", 1363030)
        if not video.upload.complete:
            raise errors.invalid("The video is not uploaded yet", 1363033)
        content.check_text(form)
        showing = self._showing(form, kind)
        if kind == "reel":
            if self._day.count(page.id) >= self._vendor.settings.reels_per_day:
                text = "The Page has reached its limit of reels for 24 hours"
                raise errors.refusal(613, text, subcode=1390008)
            self._day.add(page.id)
        self._describe(video, form)
        self.show(request, video, showing)
        answer: dict[str, Any] = {"success": True}
        if kind == "story":
            answer["post_id"] = video.post_id
        return JSONResponse(answer)

    def _showing(self, form: Form, kind: str) -> Showing:
        now, settings = self._vendor.clock.now(), self._vendor.settings
        match form.fields.get("video_state", "PUBLISHED" if kind == "story" else ""):
            case "PUBLISHED":
                return Showing(now)
            case "DRAFT":
                return Showing(None)
            case "SCHEDULED":
                at = content.read_schedule(form, settings, now)
                return Showing(at, scheduled=True)
            case _:
                text = "Param video_state must be one of DRAFT, PUBLISHED, SCHEDULED"
                raise errors.invalid(text)

    async def send(self, request: Request) -> Response:
        """Take bytes of a reel or a story."""
        version = request.path_params["version"]
        video = self.all.get(request.path_params["id"])
        if not video or video.kind == "video" or video.upload.version != version:
            raise rupload.refused("NotFoundError", "Unknown upload", 404)
        try:
            allowed = self._vendor.login.caller(request).page == video.page
        except Refusal:
            allowed = False
        if not allowed:
            text = "Authentication Failure"
            raise rupload.refused("NotAuthorizedError", text, 401)
        hosts = self._vendor.settings.fetches_from
        answer = await rupload.take(request, video.upload, self._vendor.media, hosts)
        if video.upload.complete and video.ready_at is None:
            video.arrived(self._vendor.clock.now())
        return answer

    async def list_reels(self, request: Request) -> Response:
        """Return the reels that are seen, newest first."""
        return await self._list(request, "reel")

    async def list_videos(self, request: Request) -> Response:
        """Return the videos that are seen, newest first."""
        return await self._list(request, "video", "reel")

    async def _list(self, request: Request, *kinds: str) -> Response:
        form = await read_form(request)
        page = self._vendor.reader(request, form)
        found = [
            video.node(self._vendor.clock)
            for video in reversed(self.all.values())
            if video.page.id == page.id
            and video.kind in kinds
            and self._vendor.is_listed(video.seen_at())
        ]
        return page_of(request, form, found, "updated_time", "description")

    # page videos

    async def video(self, request: Request) -> Response:
        """Take a step of a Page video, or the whole of it."""
        form = await read_form(request)
        page = self._vendor.publisher(request, form)
        match form.fields.get("upload_phase"):
            case "start":
                return self._start(request, form, page)
            case "transfer":
                return self._transfer(form, page)
            case "finish":
                return self._end(request, form, page)
            case "cancel":
                video = self._session(form, page)
                del self._sessions[form.fields["upload_session_id"]]
                del self.all[video.id]
                return JSONResponse({"success": True})
            case _:
                return await self._at_once(request, form, page)

    def _start(self, request: Request, form: Form, page: Page) -> Response:
        text = form.fields.get("file_size", "")
        if not text.isdecimal():
            raise errors.invalid("The parameter file_size is required")
        self._check_size(int(text))
        video = self._new(request, page, "video")
        video.upload.size = int(text)
        session = self._vendor.new_id()
        self._sessions[session] = video
        ids = {"video_id": video.id, "upload_session_id": session}
        return JSONResponse(ids | self._window(video))

    def _transfer(self, form: Form, page: Page) -> Response:
        video = self._session(form, page)
        window, chunk = self._window(video), form.files.get("video_file_chunk")
        if not chunk:
            raise errors.invalid("The parameter video_file_chunk is required")
        size = int(window["end_offset"]) - int(window["start_offset"])
        wrong = form.fields.get("start_offset") != window["start_offset"]
        if wrong or not 0 < len(chunk.data) <= size:
            raise errors.refusal(
                6000,
                "There was a problem uploading your video file.",
                subcode=1363037,
                error_data=window,
            )
        video.upload.file.append(chunk.data)
        return JSONResponse(self._window(video))

    def _end(self, request: Request, form: Form, page: Page) -> Response:
        video = self._session(form, page)
        if video.showing:
            raise errors.invalid("The video was already published", 1363030)
        if not video.upload.complete:
            text = "There was a problem uploading your video file."
            window = self._window(video)
            raise errors.refusal(6000, text, subcode=1363033, error_data=window)
        content.check_text(form)
        now = self._vendor.clock.now()
        showing = content.read_showing(form, self._vendor.settings, now)
        self._describe(video, form)
        video.arrived(now)
        self.show(request, video, showing)
        return JSONResponse({"success": True})

    async def _at_once(self, request: Request, form: Form, page: Page) -> Response:
        content.check_text(form)
        now = self._vendor.clock.now()
        showing = content.read_showing(form, self._vendor.settings, now)
        file = await self._file(form)
        self._check_size(file.size)
        video = self._new(request, page, "video")
        version = video.upload.version
        video.upload = rupload.Upload(file, version, file.size)
        self._describe(video, form)
        video.arrived(self._vendor.clock.now())
        self.show(request, video, showing)
        return JSONResponse({"id": video.id})

    async def _file(self, form: Form) -> MediaFile:
        if source := form.files.get("source"):
            return self._vendor.media.new(source.data)
        if url := form.fields.get("file_url"):
            try:
                hosts = self._vendor.settings.fetches_from
                return await self._vendor.media.fetch(url, hosts)
            except FetchError:
                text = "Unable to fetch video file from URL."
                raise errors.refusal(389, text) from None
        upload = self._handles.get(form.fields.get("fbuploader_video_file_chunk", ""))
        if not upload:
            raise errors.invalid("No video was given")
        return upload.file

    def _session(self, form: Form, page: Page) -> Video:
        video = self._sessions.get(form.fields.get("upload_session_id", ""))
        if not video or video.page.id != page.id:
            text = "There was a problem uploading your video file."
            raise errors.refusal(6000, text, subcode=1363041)
        return video

    def _window(self, video: Video) -> dict[str, str]:
        start, size = video.upload.file.size, video.upload.size or 0
        end = min(start + self._vendor.settings.chunk_bytes, size)
        return {"start_offset": str(start), "end_offset": str(end)}

    def _check_size(self, size: int) -> None:
        if size < content.VIDEO_MIN:
            text = "The video file is too small"
            raise errors.refusal(382, text, subcode=1363022)
        if size > self._vendor.settings.video_bytes:
            text = "The video file is too large"
            raise errors.refusal(352, text, subcode=1363023)

    # the upload API

    async def open_upload(self, request: Request) -> Response:
        """Open an upload of the newer kind; it needs a user token and the app's id."""
        form = await read_form(request)
        caller = self._vendor.login.caller(request, form)
        length = form.fields.get("file_length", "")
        if caller.token.grant.client != request.path_params["id"]:
            raise errors.not_found(request.path_params["id"], "post")
        if not length.isdecimal() or form.fields.get("file_type") != "video/mp4":
            raise errors.invalid("file_length or file_type is wrong")
        id_ = f"upload:{self._vendor.new_id()}"
        version = request.path_params["version"]
        file = self._vendor.media.new()
        self._uploads[id_] = rupload.Upload(file, version, int(length))
        return JSONResponse({"id": id_})

    async def send_upload(self, request: Request) -> Response:
        """Take bytes of such an upload; the last ones bring a handle."""
        upload = self._upload(request)
        body, whole = await arriving(request)
        offset, size = request.headers.get("file_offset", ""), upload.size or 0
        start = upload.file.size
        if offset != str(start) or (whole and start + len(body) > size):
            raise errors.invalid("The file_offset is wrong")
        upload.file.append(body[: size - start])
        if not upload.complete:
            return JSONResponse({"id": request.path_params["id"]})
        handle = f"4::{self._vendor.new_id()}"
        self._handles[handle] = upload
        return JSONResponse({"h": handle})

    def read_upload(self, request: Request) -> Response:
        """Tell how far such an upload is."""
        id_, upload = request.path_params["id"], self._upload(request)
        return JSONResponse({"id": id_, "file_offset": upload.file.size})

    def _upload(self, request: Request) -> rupload.Upload:
        self._vendor.login.caller(request)
        upload = self._uploads.get(request.path_params["id"])
        if not upload:
            raise errors.not_found(request.path_params["id"])
        return upload

    # what they have in common

    def _new(self, request: Request, page: Page, kind: Any) -> Video:
        upload = rupload.Upload(
            self._vendor.media.new(), request.path_params["version"]
        )
        return self._add(page, kind, upload, self._vendor.clock.now())

    def _add(
        self, page: Page, kind: Any, upload: rupload.Upload, created_at: float
    ) -> Video:
        id_, vendor = self._vendor.new_id(), self._vendor
        video = Video(
            id=id_,
            page=page,
            kind=kind,
            upload=upload,
            settings=vendor.settings,
            created_at=created_at,
            post_id=f"{page.id}_{vendor.new_id()}",
        )
        self.all[id_] = video
        return video

    def plant(self, page: Page, title: str, at: float) -> Video:
        """Make a reel without bytes, as if it had been seen from then on."""
        upload = rupload.Upload(self._nothing, self._vendor.settings.versions[-1], 0)
        video = self._add(page, "reel", upload, at)
        video.title, video.showing, video.ready_at = title, Showing(at), at
        return video

    @cached_property
    def _nothing(self) -> MediaFile:
        return self._vendor.media.new()

    def _describe(self, video: Video, form: Form) -> None:
        video.title = form.fields.get("title", form.fields.get("name", video.title))
        video.description = form.fields.get("description", video.description)

    def show(self, request: Request, video: Video, showing: Showing) -> None:
        """Publish or schedule a film, or keep it as a draft."""
        before = video.showing
        video.showing = showing
        fresh = before is None or before.at is None
        if showing.at is None or video.failure or not fresh:
            return
        file = video.upload.file
        self._vendor.took_effect(
            video.kind,
            video.id,
            request,
            page=video.page.name,
            title=video.title,
            description=video.description,
            publish_at=showing.at if showing.scheduled else None,
            size=file.size,
            sha256=file.sha256(),
        )
