"""The whole job, step by step; a finished step is not repeated after a restart.

fetch → guard → probe → plan → measure → encode → index → manifests → derive →
stills → verify → store
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from nexus_actors.core.errors import (
    Cancelled,
    NexusError,
    PermanentError,
    TransientError,
)
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.engine.slots import default_slots, usable_cores

from .base import Packager, Workbench, packagers
from .commands import encode_command, encode_folders
from .errors import DiskFullError, OutputError, SourceError
from .fetch import Fetcher, name_of
from .guard import Source, admit, check_room, disk_full
from .index import index_tracks, place_tracks
from .loudness import measure
from .models import (
    MediaInfo,
    Plan,
    Presentation,
    ProcessVideoRequest,
    ProcessVideoResult,
)
from .plan import make_plan, plan_json
from .probe import probe
from .process import EncodeProgress, Runner
from .publish import Published, publish
from .result import outputs, poster, thumbnails
from .settings import VideoSettings
from .stills import make_stills
from .tools import Tools, find_tools
from .verify import verify
from .watermark import check_image
from .work import hold


log = get_logger(__name__)

#: How much of the whole job each step is, for its progress.
WEIGHTS: Final = {
    "fetch": 4,
    "guard": 1,
    "probe": 1,
    "plan": 0,
    "measure": 2,
    "encode": 78,
    "index": 1,
    "manifests": 1,
    "derive": 2,
    "stills": 4,
    "verify": 2,
    "store": 4,
}

#: An encode may take this many times the length of its video, in seconds.
LIMIT_FACTOR: Final = 60
LEAST_LIMIT_S: Final = 900


class JobHandle(Protocol):
    """What the pipeline asks of the job that it runs in."""

    def check(self) -> None:
        """Return if the job may go on; raise if it must stop."""

    def progress(
        self, fraction: float | None, *, stage: str, eta_s: float | None = None
    ) -> None:
        """Tell how far the job is."""


@dataclass(slots=True)
class Steps:
    """Times the steps, tells their progress, and remembers which are finished."""

    work: Path
    job: JobHandle
    timings: dict[str, float] = field(default_factory=dict)
    _done: int = 0
    _stage: str = ""
    _resumes: bool = True

    def run(self, name: str, action: Callable[[], Any], *, once: bool = False) -> Any:
        """Run one step; with *once*, not again after a restart: its output stays."""
        self.job.check()
        self._stage = name
        self.tell(0)
        marker = self.work / f"{name}.json"
        note = read_note(marker) if once and self._resumes else {}
        if note:
            self.timings[name] = note["seconds"]
            self._done += WEIGHTS[name]
            return note["value"]
        if once:  # what stands on this step must be done anew, too
            self._resumes = False
        started = time.monotonic()
        value = action()
        seconds = round(time.monotonic() - started, 3)
        self.timings[name] = seconds
        if once:
            write_whole(marker, {"seconds": seconds, "value": value})
        self._done += WEIGHTS[name]
        log.info("video.step_finished", step=name, seconds=seconds)
        return value

    def tell(self, share: float, eta_s: float | None = None) -> None:
        """Tell that *share* of the present step is done."""
        fraction = (self._done + WEIGHTS[self._stage] * min(1, share)) / 100
        self.job.progress(fraction, stage=self._stage, eta_s=eta_s)


def read_note(path: Path) -> dict[str, Any]:
    """Return what `write_whole` has written; nothing if a crash has spoilt it."""
    try:
        note: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return note


def write_whole(path: Path, value: Any) -> None:
    """Write JSON so that a crash leaves the whole file or none."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(value))
    partial.replace(path)


def process_video(
    request: ProcessVideoRequest,
    *,
    settings: VideoSettings,
    core: CoreSettings,
    work: Path,
    job: JobHandle,
) -> ProcessVideoResult:
    """Process one video in the folder *work*, which a later attempt may take up.

    The folder's name is the job's own: with the plan it names the version under which
    the outputs are published, so that no two jobs ever write to the same place.

    Raises:
        NexusError: Of the kind that says whether trying again may help.  Nothing is
            left where outputs are published.
    """
    try:
        tools = find_tools(settings)
        storage = Storage.connect(core)
        storage.probe(check=job.check)
        with hold(work):
            return Pipeline(
                request,
                settings,
                Steps(work, job),
                tools,
                storage,
                Fetcher(Guard(GuardSettings.load()), core, settings.max_input_bytes),
                encoder_threads(core),
            ).run_and_tidy()
    except NexusError:  # some are an OSError, too
        raise
    except OSError as error:
        raise _translated(error, work) from error


def _translated(error: OSError, work: Path) -> NexusError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(disk_full(work.parent))
    return TransientError(f"cannot work in {work}: {error.strerror or error}")


def encoder_threads(core: CoreSettings) -> int:
    """Return each encoder's share of the cores; 0, all of them, where one job runs."""
    slots = core.worker_concurrency or default_slots()
    return 0 if slots == 1 else max(2, usable_cores() // slots)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps of one job, and what they share."""

    request: ProcessVideoRequest
    settings: VideoSettings
    steps: Steps
    tools: Tools
    storage: Storage
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

    def run_and_tidy(self) -> ProcessVideoResult:
        """Run all steps; keep the folder only if a later attempt can go on from it."""
        try:
            result = self.run()
        except (PermanentError, OutputError, Cancelled):
            # what was made wrong stays wrong: another attempt must make it anew
            shutil.rmtree(self.work, ignore_errors=True)
            raise
        shutil.rmtree(self.work, ignore_errors=True)
        return result

    def run(self) -> ProcessVideoResult:
        """Run all steps."""
        steps = self.steps
        path: str = steps.run("fetch", self._fetch)
        source: Source = steps.run("guard", lambda: self._admit(path))
        media: MediaInfo = steps.run(
            "probe",
            lambda: probe(
                source, self.tools, self.settings, check=self.steps.job.check
            ),
        )
        plan: Plan = steps.run("plan", lambda: self._plan(media))
        gains = steps.run("measure", lambda: self._measure(plan, source), once=True)
        steps.run("encode", lambda: self._encode(plan, source, gains), once=True)
        source.path.unlink(missing_ok=True)
        shown: Presentation = steps.run("index", lambda: index_tracks(plan, self.out))
        for step in ("manifests", "derive"):
            makers = [made for made in self._packagers(plan) if made.step == step]
            steps.run(step, partial(self._package, makers, shown), once=True)
        warnings = steps.run("stills", lambda: self._stills(plan, shown), once=True)
        warnings += steps.run("verify", lambda: self._verify(plan, shown))
        warnings += self._followed(plan)
        write_whole(self.out / "metadata.json", media.to_json())
        prefix = self.request.output_prefix or self.request.video_id
        prefix = f"{prefix}/{self._version(plan)}"
        published: Published = steps.run("store", lambda: self._publish(plan, prefix))
        steps.job.progress(1.0, stage="store", eta_s=0)
        return ProcessVideoResult(
            video_id=self.request.video_id,
            metadata=media,
            outputs=outputs(plan, shown, published, self.out),
            thumbnails=thumbnails(plan, published),
            poster=poster(published),
            duration=round(shown.duration, 6),
            warnings=tuple(dict.fromkeys((*media.warnings, *plan.warnings, *warnings))),
            timings=steps.timings,
        )

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

    def _plan(self, media: MediaInfo) -> Plan:
        """Plan, and drop what an attempt with another plan has left."""
        plan = make_plan(
            media,
            self.request.options,
            self.settings,
            tools=self.tools,
            threads=self.threads,
        )
        if plan.watermark:
            check_image(plan.watermark.path, self.tools)
        marker = self.work / "plan.json"
        if read_note(marker).get("hash") != plan.hash:
            for path in self.work.iterdir():
                if path.is_dir():
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
        copies = 2 if "mp4" in plan.formats else 1
        needed = int(rates / 2 * plan.duration / 8 * copies) + 10_000_000
        check_room(self.work, needed)

    def _bench(self) -> Workbench:
        return Workbench(self.out, self.tools, self._run_on_ours)

    def _run_on_ours(self, command: list[str]) -> str:
        """Run a command that reads what we have made: no fault of the source's."""
        try:
            return self._runner().run(command)
        except SourceError as error:
            text = "ffmpeg cannot read what it has made"
            raise OutputError(text, **error.details) from error

    def _runner(self) -> Runner:
        return Runner(self.work, self.steps.job.check)

    def _measure(self, plan: Plan, source: Source) -> dict[str, float]:
        limit = max(LEAST_LIMIT_S, LIMIT_FACTOR * plan.duration)
        run = partial(self._runner().run, limit_s=limit)
        return measure(plan, source.path, self.tools, run)

    def _encode(self, plan: Plan, source: Source, gains: dict[str, float]) -> None:
        scratch = self.work / "encode.tmp"
        for folder in (scratch, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        for name in encode_folders(plan):
            (scratch / name).mkdir(parents=True)
        try:
            self._runner().run(
                encode_command(plan, source.path, scratch, self.tools, gains),
                on_progress=lambda progress: self._tell(plan, progress),
                limit_s=max(LEAST_LIMIT_S, LIMIT_FACTOR * plan.duration),
            )
            place_tracks(plan, scratch, self.out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

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
        bench = self._bench()
        return [path for maker in makers for path in maker.package(shown, bench)]

    def _stills(self, plan: Plan, shown: Presentation) -> list[str]:
        """Make the stills; a video without them is better than none."""
        if not plan.thumbnails:
            return []
        scratch = self.work / "stills.tmp"
        try:
            make_stills(plan, shown, self._bench(), scratch)
        except (PermanentError, TransientError) as error:
            if isinstance(error, DiskFullError):
                raise
            log.warning("video.stills_failed", error=error.message)
            shutil.rmtree(self.out / "thumb", ignore_errors=True)
            return ["stills_failed"]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return []

    def _verify(self, plan: Plan, shown: Presentation) -> list[str]:
        return verify(plan, shown, self._bench())

    def _followed(self, plan: Plan) -> list[str]:
        """Warn if a player cannot follow playlists: they name what is not signed."""
        if self.storage.signs_urls and {"hls", "dash"} & {*plan.formats}:
            return ["storage_not_public"]
        return []

    def _publish(self, plan: Plan, prefix: str) -> Published:
        segmented = {"hls", "dash"} & set(plan.formats)
        unseen = [f"v/{rendition.name}" for rendition in plan.extra]
        return publish(
            self.out,
            prefix,
            self.storage,
            without=(*unseen, *(() if segmented else ("v", "a"))),
            check=self.steps.job.check,
            on_progress=self.steps.tell,
        )
