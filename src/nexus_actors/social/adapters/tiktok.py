"""TikTok: a file in chunks, whose last byte is the post; or what TikTok fetches.

Source: TikTok for Developers, "Content Posting API" and "Media Transfer Guide".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from typing_extensions import override

from nexus_actors.core.errors import (
    AuthorizationError,
    RejectedError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call, FileSlice
from nexus_actors.platforms import tiktok
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import (
    SessionLostError,
    Verdict,
    error_of,
    field,
    told,
)

from ..base import Publisher
from ..models import alike
from ..row import Phase, State
from ..run import Found, Outcome, Part, Run
from ..sources import fingerprint


PUBLISH: Final = "/v2/post/publish"

#: As the references of all calls with a body have it.
JSON: Final = {"Content-Type": "application/json; charset=UTF-8"}

#: TikTok's words for who may see a post.
PRIVACY: Final = {
    "public": "PUBLIC_TO_EVERYONE",
    "friends": "MUTUAL_FOLLOW_FRIENDS",
    "followers": "FOLLOWER_OF_CREATOR",
    "private": "SELF_ONLY",
}

#: Limits of a chunk.  A page's MB may be 10**6 or 2**20: these fit both.
CHUNK_MIN: Final = 5 * 2**20
CHUNK_MAX: Final = 64_000_000
CHUNKS: Final = 1000

#: Answers of the upload server: expired, unknown, out of step.
EXPIRED, UNKNOWN, OUT_OF_STEP = 403, 404, 416

TYPES: Final = {".mov": "video/quicktime", ".webm": "video/webm"}

#: The states in which nothing more happens by itself.
ENDS: Final = {"PUBLISH_COMPLETE", "SEND_TO_USER_INBOX", "FAILED"}

#: A list shows 150 characters of a caption: if it counts UTF-16 units, half as many.
CUT_CHARS: Final = 70

#: How often a post is looked at that is processed, by how long it is.
LOOKS_S: Final = ((15, 5), (300, 30), (1200, 180))
LATER_S: Final = 600

#: For how long bytes can be sent, and a little more.
UPLOAD_S: Final = 3900

#: How soon after the post its public id can be there.
LATE_S: Final = 60

#: By how much TikTok's clock may be behind ours.
SKEW: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file is cut: all chunks are alike, and the last takes what is left."""

    size: int
    chunk: int
    count: int

    @classmethod
    def of(cls, size: int, wanted: int) -> Plan:
        """Cut *size* bytes into chunks of about *wanted*."""
        chunk = min(max(wanted, CHUNK_MIN, -(-size // CHUNKS)), CHUNK_MAX)
        if size <= chunk:
            return cls(size, size, 1)
        return cls(size, chunk, size // chunk)

    def stop(self, offset: int) -> int:
        """Return where the chunk ends that *offset* is in."""
        number = min(offset // self.chunk, self.count - 1)
        return self.size if number == self.count - 1 else (number + 1) * self.chunk


class TikTokPublisher(Publisher):
    name = "tiktok"

    @staticmethod
    @override
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        return tiktok.client(settings, token)

    @override
    def prepare(self, run: Run) -> None:
        creator = {} if run.kind == "draft" else self._creator(run)
        if _is_pulled(run):
            run.save(creator=creator, addresses=_addresses(run))
            return
        path = run.source.bring(str(run.content.video_path), check=run.check)
        plan = Plan.of(path.stat().st_size, run.settings.chunk_bytes)
        source = {
            "source": "FILE_UPLOAD",
            "video_size": plan.size,
            "chunk_size": plan.chunk,
            "total_chunk_count": plan.count,
        }
        body: dict[str, Any] = {"source_info": source}
        if run.kind == "draft":
            route = f"{PUBLISH}/inbox/video/init/"
        else:
            route, body["post_info"] = (
                f"{PUBLISH}/video/init/",
                _post_info(run, creator),
            )
        call = Call("POST", route, json=body, headers=JSON, undone_on_5xx=True)
        answer = run.send(call)
        run.save(
            creator=creator,
            publish_id=str(told(answer, "data", "publish_id")),
            upload_url=str(told(answer, "data", "upload_url")),
            size=plan.size,
            chunk=plan.chunk,  # as it was told, whatever is set by the next run
            sha256=fingerprint(path, run.check),
            offset=0,
        )

    def _creator(self, run: Run) -> dict[str, Any]:
        """Return what the creator may post now; their limits win over the rules.

        Raises:
            RejectedError: Not what is asked for.
        """
        route = f"{PUBLISH}/creator_info/query/"
        creator = told(run.send(_asks(route)), "data")
        level = PRIVACY[str(run.options.privacy)]
        allowed = creator.get("privacy_level_options") or []
        if level not in allowed:
            words = {theirs: ours for ours, theirs in PRIVACY.items()}
            may = ", ".join(words.get(name, name) for name in allowed)
            raise RejectedError(
                f"tiktok: this creator can post as {may}, and not as "
                f"{run.options.privacy}",
                code="invalid_content",
            )
        most = creator.get("max_video_post_duration_sec")
        seconds = run.media.get("duration_s")
        if most and seconds and seconds > most:
            raise RejectedError(
                f"tiktok: the video lasts {seconds} s, and this creator may post "
                f"{most} s",
                code="invalid_content",
            )
        return dict(creator)

    @override
    def resume(self, run: Run) -> str | None:
        if _is_pulled(run):
            return None
        data = self._status(run)
        if data["status"] in ENDS:
            return str(run.checkpoint["publish_id"])  # what follows of it is confirm's
        run.save(offset=int(data.get("uploaded_bytes") or 0))
        if run.checkpoint["offset"] >= run.checkpoint["size"]:
            return str(run.checkpoint["publish_id"])
        return None

    @override
    def next_part(self, run: Run) -> Part | None:
        if _is_pulled(run):
            return None
        path = run.source.bring(str(run.content.video_path), check=run.check)
        size, offset = run.checkpoint["size"], run.checkpoint["offset"]
        if path.stat().st_size != size:
            raise RejectedError(
                "the file has changed since its upload began", code="source_changed"
            )
        chunk = run.checkpoint["chunk"]
        stop = Plan(size, chunk, size // chunk).stop(offset)
        bytes_ = FileSlice.of(path, offset, stop)
        kind = TYPES.get(path.suffix.lower(), "video/mp4")
        call = Call(
            "PUT",
            run.checkpoint["upload_url"],
            headers={"Content-Range": bytes_.content_range, "Content-Type": kind},
            body=bytes_,
            idempotent=stop < size,
            accept=(EXPIRED, UNKNOWN, OUT_OF_STEP),
        )
        return Part(call=call, is_commit=stop == size)

    @override
    def read_part(self, run: Run, answer: Answer) -> str | None:
        publish_id = str(run.checkpoint["publish_id"])
        if answer.status in {200, 201}:
            return publish_id
        if answer.status == UNKNOWN and run.hold.row.attempt is not None:
            raise UnknownOutcomeError("tiktok: the upload is not known any more")
        if answer.status in {EXPIRED, UNKNOWN}:
            raise SessionLostError("tiktok: the address of the upload has expired")
        # what the header counts differs between pages: the status is clear
        run.save(offset=int(self._status(run).get("uploaded_bytes") or 0))
        return None

    @override
    def commit(self, run: Run) -> Call:
        addresses = run.checkpoint["addresses"]
        creator = run.checkpoint["creator"]
        if run.content.image_paths:
            photos = {
                "source": "PULL_FROM_URL",
                "photo_images": addresses,
                "photo_cover_index": 0,
            }
            mode = "MEDIA_UPLOAD" if run.kind == "draft" else "DIRECT_POST"
            body = {
                "media_type": "PHOTO",
                "post_mode": mode,
                "post_info": _photo_info(run, creator),
                "source_info": photos,
            }
            return Call("POST", f"{PUBLISH}/content/init/", json=body, headers=JSON)
        source = {"source": "PULL_FROM_URL", "video_url": addresses[0]}
        if run.kind == "draft":
            body = {"source_info": source}
            return Call("POST", f"{PUBLISH}/inbox/video/init/", json=body, headers=JSON)
        body = {"post_info": _post_info(run, creator), "source_info": source}
        return Call("POST", f"{PUBLISH}/video/init/", json=body, headers=JSON)

    @override
    def read_commit(self, run: Run, answer: Answer) -> str:
        publish_id = str(told(answer, "data", "publish_id"))
        run.save(publish_id=publish_id)
        return publish_id

    @override
    def reconcile(self, run: Run) -> Found:
        if _is_pulled(run):
            return self._listed(run)
        data, size = self._status(run), run.checkpoint["size"]
        stored = int(data.get("uploaded_bytes") or 0)
        seen = {"status": data["status"], "uploaded_bytes": stored, "size": size}
        if data["status"] in ENDS or stored >= size:
            # also one that has failed: what follows of that is confirm's
            publish_id = str(run.checkpoint["publish_id"])
            return Found(what="live", remote_id=publish_id, evidence=seen)
        if not str(data["status"]).startswith("PROCESSING"):
            return Found(what="unclear", evidence=seen)
        run.save(offset=stored)
        return Found(what="none", resume=Phase.TRANSFER, evidence=seen)

    def _listed(self, run: Run) -> Found:
        """Look for the post among the creator's public ones: there is no id of it."""
        fields = "id,create_time,title,video_description,share_url"
        call = _asks(f"/v2/video/list/?fields={fields}", max_count=20)
        try:
            found = run.send(call).json()
        except AuthorizationError as error:
            return Found(what="unclear", evidence={"reason": error.message})
        said = {run.content.text()}
        if run.content.image_paths:  # whose title may stand apart
            said.add(run.content.body() or run.content.title)
        since = (run.began_at - SKEW).timestamp()
        same = [
            video
            for video in field(found, "data", "videos") or []
            if int(video.get("create_time") or 0) >= since
            and any(
                alike(text, video.get(name), cut=CUT_CHARS)
                for text in said
                for name in ("title", "video_description")
            )
        ]
        if len(same) == 1:
            id_, url = str(same[0]["id"]), same[0].get("share_url")
            return Found(what="live", remote_id=f"post:{id_}", url=url)
        return Found(what="unclear", evidence={"alike": len(same)})

    @override
    def confirm(self, run: Run) -> Outcome:
        known = str(run.hold.row.remote_id)
        if known.startswith("post:"):
            return Outcome(state=State.PUBLISHED, remote_id=known.removeprefix("post:"))
        data = self._status(run)
        match data["status"]:
            case "PUBLISH_COMPLETE":
                return self._complete(run, data)
            case "SEND_TO_USER_INBOX":
                return Outcome(state=State.AWAITING_USER)
            case "FAILED":
                return self._failed(run, str(data.get("fail_reason")))
        age, size = run.waited("processing"), run.checkpoint.get("size", 0)
        if age > UPLOAD_S and int(data.get("uploaded_bytes", size)) < size:
            lost = "tiktok: it lacks bytes that it has confirmed, and takes no more"
            return Outcome(state=State.FAILED, error=SessionLostError(lost))
        pause = next((look for until, look in LOOKS_S if age < until), LATER_S)
        seen = {name: data.get(name) for name in ("status", "uploaded_bytes")}
        return Outcome(state=State.PROCESSING, look_s=pause, evidence=seen)

    def _complete(self, run: Run, data: Mapping[str, Any]) -> Outcome:
        # the list is filled once the post is public and moderation has passed it
        ids = [str(id_) for id_ in data.get("publicaly_available_post_id") or []]
        if not ids:
            wait = LATE_S if run.options.privacy in {"public", None} else None
            return Outcome(state=State.PUBLISHED, locate_s=wait)
        who = run.checkpoint.get("creator", {}).get("creator_username")
        kind = "photo" if run.content.image_paths else "video"
        url = f"https://www.tiktok.com/@{who}/{kind}/{ids[0]}" if who else None
        more = {"post_ids": ids} if len(ids) > 1 else {}  # of a draft, posted often
        return Outcome(state=State.PUBLISHED, remote_id=ids[0], url=url, evidence=more)

    @override
    def locate(self, run: Run) -> Outcome | None:
        found = self._complete(run, self._status(run))
        return found if found.remote_id else None

    def _failed(self, run: Run, reason: str) -> Outcome:
        """Return what a failure means; it is proof that nothing was posted."""
        verdict = tiktok.FAIL_REASONS.get(reason, Verdict.CONTENT)
        answer = run.send(_asks(f"{PUBLISH}/status/fetch/", **_id(run)))
        words, until = f"the post has failed: {reason}", tiktok.until_of(reason)
        error = error_of(verdict, answer, words, until=until, reason=reason)
        return Outcome(state=State.FAILED, error=error, evidence={"reason": reason})

    def _status(self, run: Run) -> Mapping[str, Any]:
        """Return what TikTok says of the post; a ``status`` is in it."""
        answer = run.send(_asks(f"{PUBLISH}/status/fetch/", **_id(run)))
        told(answer, "data", "status")
        found: Mapping[str, Any] = told(answer, "data")
        return found


def _id(run: Run) -> dict[str, Any]:
    return {"publish_id": run.checkpoint["publish_id"]}


def _asks(path: str, **body: Any) -> Call:
    """Return a call that reads, although it is a POST."""
    return Call("POST", path, json=body, headers=JSON, idempotent=True)


def _is_pulled(run: Run) -> bool:
    """Tell whether TikTok fetches the media by itself: photos always."""
    return bool(run.content.image_paths) or run.options.transfer == "url"


def _addresses(run: Run) -> list[str]:
    paths = run.content.image_paths or (str(run.content.video_path),)
    return [
        run.source.address(path, key=f"{run.hold.row.id}/{n}", check=run.check)
        for n, path in enumerate(paths)
    ]


def _post_info(run: Run, creator: Mapping[str, Any]) -> dict[str, Any]:
    options = run.options
    info: dict[str, Any] = {
        "privacy_level": PRIVACY[str(options.privacy)],
        "title": run.content.text(),
        "disable_comment": _is_off(options.allow_comments, creator, "comment"),
        "disable_duet": _is_off(options.allow_duet, creator, "duet"),
        "disable_stitch": _is_off(options.allow_stitch, creator, "stitch"),
        "brand_content_toggle": options.paid_partnership,
        "brand_organic_toggle": options.own_brand,
    }
    if options.thumbnail_offset_ms is not None:
        info["video_cover_timestamp_ms"] = options.thumbnail_offset_ms
    if options.ai_generated is not None:
        info["is_aigc"] = options.ai_generated
    return {**info, **options.extra}


def _photo_info(run: Run, creator: Mapping[str, Any]) -> dict[str, Any]:
    options, content = run.options, run.content
    text = {"title": content.title, "description": content.body()}
    if run.kind == "draft":  # all else is chosen in the app
        return {**text, **options.extra}
    return {
        "privacy_level": PRIVACY[str(options.privacy)],
        **text,
        "disable_comment": _is_off(options.allow_comments, creator, "comment"),
        "brand_content_toggle": options.paid_partnership,
        "brand_organic_toggle": options.own_brand,
        **options.extra,
    }


def _is_off(allowed: bool | None, creator: Mapping[str, Any], what: str) -> bool:
    """Tell whether a switch is off: by TikTok's rules, unless the user turns it on."""
    return not allowed or bool(creator.get(f"{what}_disabled"))
