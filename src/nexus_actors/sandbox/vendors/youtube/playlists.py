"""Playlists: the uploads of a channel, and those that a channel makes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Refusal

from . import errors, videos
from .listing import asked_parts, listing, parsed, section
from .settings import FORCE_SSL, MANAGE, READONLY, Channel


if TYPE_CHECKING:
    from .vendor import YouTube


@dataclass(slots=True, eq=False)
class Playlist:
    """A list of a channel's own making; *items* are pairs of an id and a video's."""

    id: str
    channel: Channel
    title: str
    privacy: str
    created_at: float
    items: list[tuple[str, str]] = field(default_factory=list)


class Playlists:
    """The playlists of all channels."""

    def __init__(self, vendor: YouTube) -> None:
        self._vendor = vendor
        self._playlists: dict[str, Playlist] = {}

    def routes(self, api: str) -> Sequence[BaseRoute]:
        """Return the routes of playlists and their items."""
        return [
            Route(f"{api}/playlists", self.list),
            Route(f"{api}/playlists", self.insert, methods=["POST"]),
            Route(f"{api}/playlistItems", self.list_items),
            Route(f"{api}/playlistItems", self.insert_item, methods=["POST"]),
            Route(f"{api}/playlistItems", self.delete_item, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        """Return the channel's own playlists."""
        channel = self._vendor.login.authorized(request, READONLY, MANAGE, FORCE_SSL)
        self._vendor.quota.charge(1)
        parts = asked_parts(request, {"id", "snippet", "status", "contentDetails"})
        shown = [
            _playlist(playlist, parts)
            for playlist in self._playlists.values()
            if playlist.channel.id == channel.id
        ]
        return listing(request, "playlistListResponse", shown)

    async def insert(self, request: Request) -> Response:
        """Make a playlist."""
        body = parsed(await request.body())
        channel = self._vendor.login.authorized(request, MANAGE, FORCE_SSL)
        self._vendor.quota.charge(50)
        parts = asked_parts(request, {"id", "snippet", "status", "contentDetails"})
        title = section(body, "snippet").get("title")
        if not title or not isinstance(title, str):
            text = "The request must specify a playlist title."
            raise errors.refusal(
                400, "playlistTitleRequired", text, domain="youtube.playlist"
            )
        playlist = Playlist(
            id="PL" + secrets.token_urlsafe(24),
            channel=channel,
            title=title,
            privacy=section(body, "status").get("privacyStatus", "public"),
            created_at=self._vendor.clock.now(),
        )
        self._playlists[playlist.id] = playlist
        return JSONResponse(_playlist(playlist, parts))

    async def list_items(self, request: Request) -> Response:
        """Return what is in a playlist; the uploads come newest first."""
        channel = self._vendor.login.authorized(request, READONLY, MANAGE, FORCE_SSL)
        self._vendor.quota.charge(1)
        parts = asked_parts(request, {"id", "snippet", "status", "contentDetails"})
        id_ = request.query_params.get("playlistId", "")
        wanted = request.query_params.get("videoId")
        shown = [
            self._item(id_, position, item, video, parts)
            for position, (item, video) in enumerate(self._items(channel, id_))
            if wanted in {None, video}
        ]
        return listing(request, "playlistItemListResponse", shown)

    async def insert_item(self, request: Request) -> Response:
        """Add a video; twice is two items."""
        body = parsed(await request.body())
        channel = self._vendor.login.authorized(request, MANAGE, FORCE_SSL)
        self._vendor.quota.charge(50)
        parts = asked_parts(request, {"id", "snippet", "status", "contentDetails"})
        snippet = section(body, "snippet")
        resource = section(snippet, "resourceId")
        if resource.get("kind") != "youtube#video":
            text = "The request must contain a resourceId of the kind youtube#video."
            raise errors.refusal(
                400, "resourceIdRequired", text, domain="youtube.playlistItem"
            )
        playlist = self._own(channel, str(snippet.get("playlistId")))
        video = str(resource.get("videoId"))
        if video not in self._vendor.videos:
            raise errors.refusal(
                404, "videoNotFound", "Video not found.", domain="youtube.playlistItem"
            )
        position = snippet.get("position", len(playlist.items))
        if not isinstance(position, int) or not 0 <= position <= len(playlist.items):
            text = "The request specifies an invalid playlist position."
            domain = "youtube.playlistItem"
            raise errors.refusal(
                400, "invalidPlaylistItemPosition", text, domain=domain
            )
        item = secrets.token_urlsafe(24)
        playlist.items.insert(position, (item, video))
        return JSONResponse(self._item(playlist.id, position, item, video, parts))

    async def delete_item(self, request: Request) -> Response:
        """Take an item away."""
        channel = self._vendor.login.authorized(request, MANAGE, FORCE_SSL)
        self._vendor.quota.charge(50)
        id_ = request.query_params.get("id", "")
        for playlist in self._playlists.values():
            for item in playlist.items:
                if item[0] == id_ and playlist.channel.id == channel.id:
                    playlist.items.remove(item)
                    return Response(status_code=204)
        text = "Playlist item not found."
        domain = "youtube.playlistItem"
        raise errors.refusal(404, "playlistItemNotFound", text, domain=domain)

    def _items(self, channel: Channel, id_: str) -> Sequence[tuple[str, str]]:
        if id_ == channel.uploads:
            return [("UU" + v.id, v.id) for v in self._vendor.listed(channel)]
        playlist = self._playlists.get(id_)
        if not playlist:
            raise _not_found()
        there = self._vendor.videos
        return [item for item in playlist.items if item[1] in there]

    def _own(self, channel: Channel, id_: str) -> Playlist:
        playlist = self._playlists.get(id_)
        if not playlist:
            raise _not_found()
        if playlist.channel.id != channel.id:
            text = "The request is not properly authorized to create the playlist item."
            domain = "youtube.playlistItem"
            raise errors.refusal(403, "playlistItemsNotAccessible", text, domain=domain)
        return playlist

    def _item(
        self, playlist: str, position: int, item: str, video_id: str, parts: set[str]
    ) -> dict[str, Any]:
        video = self._vendor.resource(
            self._vendor.videos[video_id], {"snippet", "status"}
        )
        snippet = video["snippet"]
        at = snippet["publishedAt"]
        whole = {
            "snippet": {
                "playlistId": playlist,
                "position": position,
                "resourceId": {"kind": "youtube#video", "videoId": video_id},
                "channelId": snippet["channelId"],
                "channelTitle": snippet["channelTitle"],
                "title": snippet["title"],
                "description": snippet["description"],
                "publishedAt": at,
                "thumbnails": snippet["thumbnails"],
                "videoOwnerChannelId": snippet["channelId"],
                "videoOwnerChannelTitle": snippet["channelTitle"],
            },
            "contentDetails": {"videoId": video_id, "videoPublishedAt": at},
            "status": {"privacyStatus": video["status"]["privacyStatus"]},
        }
        shown = {name: part for name, part in whole.items() if name in parts}
        return videos.tagged("playlistItem", item, **shown)


def _playlist(playlist: Playlist, parts: set[str]) -> dict[str, Any]:
    whole = {
        "snippet": {
            "title": playlist.title,
            "channelId": playlist.channel.id,
            "channelTitle": playlist.channel.title,
            "publishedAt": videos.format_time(playlist.created_at),
        },
        "status": {"privacyStatus": playlist.privacy},
        "contentDetails": {"itemCount": len(playlist.items)},
    }
    shown = {name: part for name, part in whole.items() if name in parts}
    return videos.tagged("playlist", playlist.id, **shown)


def _not_found() -> Refusal:
    return errors.refusal(
        404,
        "playlistNotFound",
        "The playlist identified with the request's playlistId parameter cannot be "
        "found.",
        domain="youtube.playlistItem",
        location="playlistId",
    )
