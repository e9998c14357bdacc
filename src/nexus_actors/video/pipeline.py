"""The steps that jobs are made of; `flows` has the order for each actor.

The longest is fetch → guard → probe → plan → measure → encode → index → manifests →
derive → stills → verify → store.  A finished step is not repeated after a restart.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from nexus_actors.core.errors import InternalError, PermanentError, TransientError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.storage import Storage

from .base import Packager, Workbench, packagers
from .captions import write_captions
from .commands import copy_command, encode_command, encode_folders
from .errors import DiskFullError, EncodeError, OutputError, SourceError
from .fetch import Fetcher, name_of
from .ffprobe import count
from .guard import Source, admit, check_room
from .index import index_tracks, place_tracks
from .loudness import measure
from .models import (
    MediaInfo,
    Plan,
    Presentation,
    ProcessVideoOptions,
    SourceRequest,
    WatermarkOptions,
)
from .pictures import check_picture
from .plan import make_plan, plan_json
from .probe import probe
from .process import EncodeProgress, Runner
from .publish import Published, Upload
from .settings import VideoSettings
from .steps import Steps, read_note, write_whole
from .stills import film_of_source, film_of_tracks, make_stills
from .tools import Tools
from .verify import check_mp4, verify
from .watermark import check_mark
from .websafe import Unfit, judge, sample_command


log = get_logger(__name__)

#: An encode may take this many times the length of its video, in seconds.
LIMIT_FACTOR: Final = 60
LEAST_LIMIT_S: Final = 900

#: The folder of the image of a mark that a message names.
MARK: Final = "mark"

#: What a person is told of a source that becomes in its middle what no filter takes.
CHANGES: Final = (
    "the picture or the sound changes its form in the middle of the video, to one that "
    "cannot be converted; save it anew as MP4, and upload that"
)

#: Codes of failures that say nothing of the source.
PASSING: Final = {"killed", "stalled", "timeout", "out_of_memory"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps that jobs are made of, and what they share."""

    request: SourceRequest
    settings: VideoSettings
    steps: Steps
    tools: Tools
    storage: Storage | None
    fetcher: Fetcher
    threads: int

    @property
    def work(self) -> Path:
        """The job's own folder."""
        return self.steps.work

    @property
    def out(self) -> Path:
        """The tree that will be published."""
        return self.work / "out"

    def read(self) -> tuple[Source, MediaInfo]:
        """Bring the source into the job's folder, and read it."""
        path: str = self.steps.run("fetch", self._fetch)
        source: Source = self.steps.run("guard", lambda: self._admit(path))
        check = self.steps.job.check
        media: MediaInfo = self.steps.run(
            "probe", lambda: probe(source, self.tools, self.settings, check=check)
        )
        return source, media

    def plan(self, media: MediaInfo, options: ProcessVideoOptions) -> Plan:
        """Decide everything."""
        plan: Plan = self.steps.run("plan", lambda: self._plan(media, options))
        return plan

    def encode(self, plan: Plan, source: Source) -> Presentation:
        """Make the tracks that *plan* asks for, and measure them."""
        steps = self.steps
        gains = steps.run("measure", lambda: self._measure(plan, source), once=True)
        steps.run("encode", lambda: self._encode(plan, source, gains), once=True)
        written = steps.run("captions", lambda: self._captions(plan, source), once=True)
        source.path.unlink(missing_ok=True)
        shown: Presentation = steps.run("index", lambda: index_tracks(plan, self.out))
        captions = tuple(c for c in plan.captions if c.name in written)
        return replace(shown, captions=captions)

    def package(self, plan: Plan, shown: Presentation) -> None:
        """Make the formats of the tracks."""
        for step in ("manifests", "derive"):
            makers = [made for made in self._packagers(plan) if made.step == step]
            self.steps.run(step, partial(self._package, makers, shown), once=True)

    def stills(self, plan: Plan, shown: Presentation) -> dict[str, Any]:
        """Make the stills of the tracks; a video without them is better than none."""
        made: dict[str, Any] = self.steps.run(
            "stills", partial(self._stills, plan, shown), once=True
        )
        return made

    def stills_alone(self, plan: Plan, source: Source) -> dict[str, Any]:
        """Make the stills of the source, which are all that is made."""
        bench = replace(self.bench, run=self.runner.run)
        film = film_of_source(plan, source.path)
        made: dict[str, Any] = self.steps.run(
            "stills",
            lambda: make_stills(plan, film, bench, self._picture(plan)),
            once=True,
        )
        return made

    def verify(self, plan: Plan, shown: Presentation) -> list[str]:
        """Check what was made of the tracks; return warnings."""
        checked = partial(verify, plan, shown, self.bench)
        warnings: list[str] = self.steps.run("verify", checked)
        return warnings + self._followed(plan)

    def judge(self, plan: Plan, media: MediaInfo, source: Source) -> Unfit:
        """Tell what keeps the source from being copied into an MP4 for browsers."""
        told = partial(self._judge, plan, media, source)
        return Unfit(*map(tuple, self.steps.run("check", told, once=True)))

    def copy(
        self, plan: Plan, media: MediaInfo, source: Source, *, sound: bool
    ) -> bool:
        """Copy the source's picture into an MP4; tell whether that went well."""
        copied = partial(self._copy, plan, media, source, sound=sound)
        done: bool = self.steps.run("copy", copied, once=True)
        return done

    def upload(self, plan: Plan, prefix: str | None) -> Upload:
        """Return what stores the outputs below *prefix*, by default the video's id."""
        assert self.storage  # noqa: S101 - whoever publishes has one
        segmented = {"hls", "dash"} & {*plan.formats}
        unseen = [f"v/{rendition.name}" for rendition in plan.extra]
        return Upload(
            self.out,
            f"{prefix or self.request.video_id}/{self._version(plan)}",
            self.storage,
            without=(*unseen, *(() if segmented else ("v", "a"))),
        )

    def publish(self, media: MediaInfo, upload: Upload) -> Published:
        """Store what was made, as far as that has not been done yet."""
        write_whole(self.out / "metadata.json", media.to_json())
        finish = partial(
            upload.finish, check=self.steps.job.check, on_progress=self.steps.tell
        )
        stored: Published = self.steps.run("store", finish)
        self.steps.end()
        return stored

    def _fetch(self) -> str:
        steps = self.steps
        return self.fetcher.fetch(
            self.request.input_path,
            self.work,
            check=steps.job.check,
            tell=steps.tell,
        )

    def _admit(self, path: str) -> Source:
        return admit(
            path,
            self.work,
            self.settings,
            name=name_of(self.request.input_path),
            check=self.steps.job.check,
        )

    def _plan(self, media: MediaInfo, options: ProcessVideoOptions) -> Plan:
        """Plan, and drop what an attempt with another plan has left."""
        asked = options.watermark
        image = asked.image_path if isinstance(asked, WatermarkOptions) else None
        mark = self._bring(image, MARK) if image else None
        if mark:
            check_picture(mark)
        plan = make_plan(
            media,
            options,
            self.settings,
            tools=self.tools,
            threads=self.threads,
            mark_image=mark,
        )
        if plan.watermark:
            check_mark(plan.watermark, self.tools, self.runner.run)
        marker = self.work / "plan.json"
        if read_note(marker).get("hash") != plan.hash:
            for path in self.work.iterdir():
                if path.is_dir() and path.name != MARK:
                    shutil.rmtree(path)
                elif path.suffix == ".json":
                    path.unlink()
        write_whole(marker, plan_json(plan))
        if not (self.work / "encode.json").exists():
            self._check_disk(plan)
        return plan

    def _version(self, plan: Plan) -> str:
        """Return the name of what this job makes: the same for each attempt."""
        made = f"{plan.hash}/{self.work.name}"
        return hashlib.sha256(made.encode()).hexdigest()[:12]

    def _check_disk(self, plan: Plan) -> None:
        """Refuse to start what cannot end; half of the caps is a usual output."""
        rates = sum(r.maxrate for r in (*plan.video, *plan.extra))
        rates += sum(a.bitrate for a in plan.audio)
        copies = 1 + len({"mp4", "hls_ts"} & {*plan.formats})
        needed = int(rates / 2 * plan.duration / 8 * copies) + 10_000_000
        check_room(self.work, needed)

    @property
    def bench(self) -> Workbench:
        """What packagers work with: a fault of what they read is ours."""
        return Workbench(self.out, self.tools, self._run_on_ours)

    def _run_on_ours(self, command: list[str]) -> str:
        """Run a command that reads what we have made: no fault of the source's."""
        try:
            return self.runner.run(command)
        except SourceError as error:
            text = "ffmpeg cannot read what it has made"
            raise OutputError(text, **error.details) from error

    @property
    def runner(self) -> Runner:
        """What runs commands on the source."""
        return Runner(
            self.work,
            self.steps.job.check,
            self.settings.child_memory_bytes,
            self.settings.child_nice,
        )

    def _measure(self, plan: Plan, source: Source) -> dict[str, float]:
        limit = max(LEAST_LIMIT_S, LIMIT_FACTOR * plan.duration)
        run = partial(self.runner.run, limit_s=limit)
        return measure(plan, source.path, self.tools, run)

    def _encode(self, plan: Plan, source: Source, gains: dict[str, float]) -> None:
        scratch = self.work / "encode.tmp"
        for folder in (scratch, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        for name in encode_folders(plan):
            (scratch / name).mkdir(parents=True)
        try:
            self.runner.run(
                encode_command(plan, source.path, scratch, self.tools, gains),
                on_progress=lambda progress: self._tell(plan, progress),
                limit_s=max(LEAST_LIMIT_S, LIMIT_FACTOR * plan.duration),
            )
            place_tracks(plan, scratch, self.out)
        except InternalError as error:
            if not (scratch / "0/init.mp4").exists():
                raise
            # the plan was good for the source's beginning
            raise SourceError(CHANGES, **error.details) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _captions(self, plan: Plan, source: Source) -> list[str]:
        """Write the captions; return the names of those in which something is said.

        A stream of the source that cannot be read is left out, a file is an error.
        """
        bench = replace(self.bench, run=self.runner.run)
        written = []
        for caption in plan.captions:
            path = source.path
            if caption.input_path:
                path = self._bring(caption.input_path, "captions", text=True)
            try:
                said = write_captions(caption, path, plan.duration, bench)
            except SourceError as error:
                if caption.input_path:
                    raise
                log.warning("video.captions_failed", error=error.message)
                said = False
            if caption.input_path and not said:
                raise SourceError(
                    f"the captions {caption.label} are no SubRip or WebVTT, or nothing "
                    "is said in them before the end of the video",
                    code="not_media",
                )
            written += [caption.name] * said
        return written

    def _tell(self, plan: Plan, progress: EncodeProgress) -> None:
        left = max(0.0, plan.duration - progress.seconds)
        eta = left / progress.speed if progress.speed else None
        self.steps.tell(progress.seconds / plan.duration, eta)

    @staticmethod
    def _packagers(plan: Plan) -> list[Packager]:
        clean = ("mp4",) if plan.clean else ()
        names = dict.fromkeys((*plan.formats, *clean))
        return [packagers.get(name)() for name in names]

    def _package(self, makers: list[Packager], shown: Presentation) -> list[str]:
        bench = self.bench
        return [path for maker in makers for path in maker.package(shown, bench)]

    def _stills(self, plan: Plan, shown: Presentation) -> dict[str, Any]:
        if not plan.thumbnails:
            return {}
        scratch = self.work / "stills.tmp"
        scratch.mkdir(exist_ok=True)
        try:
            film = film_of_tracks(shown, self.out, scratch)
            return make_stills(plan, film, self.bench, self._picture(plan))
        except (PermanentError, TransientError) as error:
            if isinstance(error, DiskFullError):
                raise
            log.warning("video.stills_failed", error=error.message)
            for folder in ("thumb", "sprite"):
                shutil.rmtree(self.out / folder, ignore_errors=True)
            return {"warnings": ["stills_failed"]}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _picture(self, plan: Plan) -> Path | None:
        """Bring the picture that a user has chosen, if there is one."""
        return self._bring(plan.picture, "picture") if plan.picture else None

    def _bring(self, input_path: str, name: str, *, text: bool = False) -> Path:
        """Bring a file beside the source into an empty folder called *name*."""
        check, folder = self.steps.job.check, self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = self.fetcher.fetch(input_path, folder, check=check, tell=lambda _: None)
        called = name_of(input_path)
        return admit(
            path, folder, self.settings, name=called, check=check, text=text
        ).path

    def _judge(
        self, plan: Plan, media: MediaInfo, source: Source
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        video = media.video
        assert video is not None  # noqa: S101 - the probe refuses a file without one
        stream = {"index": video.index, "r_frame_rate": video.fps_q}
        counted = count(source.path, stream, self.tools, self.steps.job.check)
        unfit = judge(media, plan, counted.key_gap_s)
        if unfit.picture:
            return unfit.picture, unfit.sound
        try:
            self.runner.run(sample_command(plan, source.path, self.tools))
        except (SourceError, EncodeError) as error:
            if error.code in PASSING:
                raise
            return ("damaged",), unfit.sound
        return (), unfit.sound

    def _copy(
        self, plan: Plan, media: MediaInfo, source: Source, *, sound: bool
    ) -> bool:
        check_room(self.work, source.size + 10_000_000)
        shutil.rmtree(self.out, ignore_errors=True)
        target = self.out / f"mp4/{plan.video[0].name}.mp4"
        target.parent.mkdir(parents=True)
        heard = media.audio if sound and plan.audio else ()
        longest = max(media.duration, *(s.duration or 0 for s in heard), 0)
        try:
            self.runner.run(
                copy_command(plan, source.path, target, self.tools, sound=sound),
                limit_s=max(LEAST_LIMIT_S, LIMIT_FACTOR * plan.duration),
            )
            check_mp4(target, longest)
        except (SourceError, EncodeError, OutputError) as error:
            if error.code in PASSING:
                raise
            log.warning("video.copy_failed", error=error.message)
            shutil.rmtree(self.out)
            return False
        return True

    def _followed(self, plan: Plan) -> list[str]:
        """Warn if a player cannot follow playlists: they name what is not signed."""
        if (
            self.storage
            and self.storage.signs_urls
            and {"hls", "hls_ts", "dash"} & {*plan.formats}
        ):
            return ["storage_not_public"]
        return []
