"""What each actor does: which steps, in which order, and what it answers."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nexus_actors.core.errors import (
    Cancelled,
    ConfigurationError,
    NexusError,
    PermanentError,
    TransientError,
)
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.engine.slots import cpu_quota, default_slots, usable_cores

from .errors import DiskFullError, OutputError
from .fetch import Fetcher
from .guard import Source, disk_full
from .models import (
    AddWatermarkRequest,
    AddWatermarkResult,
    ExtractMetadataRequest,
    ExtractMetadataResult,
    GenerateThumbnailsRequest,
    GenerateThumbnailsResult,
    MediaInfo,
    OptimizeVideoRequest,
    OptimizeVideoResult,
    Plan,
    Presentation,
    ProcessVideoOptions,
    ProcessVideoRequest,
    ProcessVideoResult,
    SourceRequest,
    TranscodeVideoRequest,
    TranscodeVideoResult,
    WatermarkOptions,
)
from .pipeline import Pipeline
from .publish import Published
from .result import mp4, outputs, poster, sprites, thumbnails
from .settings import VideoSettings
from .steps import JobHandle, Steps
from .tools import find_tools
from .work import hold


READ: Final = ("fetch", "guard", "probe")
ENCODE: Final = (
    "plan",
    "measure",
    "encode",
    "captions",
    "index",
    "manifests",
    "derive",
)


@dataclass(frozen=True, slots=True)
class Flow:
    """One actor's row of *steps*: *run* takes a request of its model."""

    request: type[SourceRequest]
    steps: tuple[str, ...]
    run: Callable[[Pipeline, Any], ExtractMetadataResult]


def run(
    request: SourceRequest,
    *,
    settings: VideoSettings,
    core: CoreSettings,
    work: Path,
    job: JobHandle,
) -> ExtractMetadataResult:
    """Do what *request* asks for, in the folder *work*, which a later attempt may use.

    The folder's name is the job's own: with the plan it names the version under which
    the outputs are published, so that no two jobs ever write to the same place.

    Raises:
        NexusError: Of the kind that says whether trying again may help.  Nothing is
            left where outputs are published.
    """
    flow = FLOWS[type(request)]
    try:
        tools = find_tools(settings)
        storage = Storage.connect(core) if "store" in flow.steps else None
        if storage:
            storage.probe(check=job.check)
        with hold(work):
            pipeline = Pipeline(
                request,
                settings,
                Steps(work, job, flow.steps),
                tools,
                storage,
                Fetcher(Guard(GuardSettings.load()), core, settings.max_input_bytes),
                settings.encoder_threads or encoder_threads(core, quota=cpu_quota()),
            )
            return run_and_tidy(pipeline)
    except NexusError:  # some are an OSError, too
        raise
    except OSError as error:
        raise _translated(error, work) from error


def run_and_tidy(pipeline: Pipeline) -> ExtractMetadataResult:
    """Run all steps; keep the folder only if a later attempt can go on from it."""
    try:
        result = FLOWS[type(pipeline.request)].run(pipeline, pipeline.request)
    except (PermanentError, OutputError, Cancelled):
        # what was made wrong stays wrong: another attempt must make it anew
        shutil.rmtree(pipeline.work, ignore_errors=True)
        raise
    shutil.rmtree(pipeline.work, ignore_errors=True)
    return result


def _translated(error: OSError, work: Path) -> NexusError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(disk_full(work.parent))
    return TransientError(f"cannot work in {work}: {error.strerror or error}")


def encoder_threads(core: CoreSettings, *, quota: int | None) -> int:
    """Return each encoder's share of the cores; 0, as it likes, where it has all.

    A *quota* of processors is nothing that an encoder would know of.
    """
    slots = core.worker_concurrency or default_slots()
    has_all = slots == 1 and quota is None
    return 0 if has_all else max(2, usable_cores() // slots)


# The flows, one for each actor.


def extract_metadata(
    pipeline: Pipeline, _: ExtractMetadataRequest
) -> ExtractMetadataResult:
    """Read the source, and store nothing."""
    _source, media = pipeline.read()
    pipeline.steps.end()
    return ExtractMetadataResult(**told(pipeline, media, media.warnings))


@dataclass(frozen=True, slots=True)
class Made:
    """Films and stills that were published, and what led to them."""

    media: MediaInfo
    plan: Plan
    shown: Presentation
    published: Published
    warnings: tuple[str, ...]
    root: Path
    poster: Mapping[str, Any]


def make(pipeline: Pipeline, options: ProcessVideoOptions, prefix: str | None) -> Made:
    """Encode, package, verify and publish what *options* ask for."""
    source, media = pipeline.read()
    return encode(pipeline, source, media, pipeline.plan(media, options), prefix)


def encode(
    pipeline: Pipeline, source: Source, media: MediaInfo, plan: Plan, prefix: str | None
) -> Made:
    """Encode, package, verify and publish what *plan* says.

    Media are stored while later steps run; what names them, once all is verified.
    """
    shown = pipeline.encode(plan, source)
    warnings = [*media.warnings, *plan.warnings]
    seen: dict[str, Any] = {}
    with pipeline.upload(plan, prefix) as upload:
        upload.begin("v", "a")
        pipeline.package(plan, shown)
        upload.begin("mp4", "ts")
        if "stills" in pipeline.steps.names:
            seen = pipeline.stills(plan, shown)
            warnings += seen.pop("warnings", ())
        warnings += pipeline.verify(plan, shown)
        published = pipeline.publish(media, upload)
    return Made(media, plan, shown, published, tuple(warnings), pipeline.out, seen)


def process_video(
    pipeline: Pipeline, request: ProcessVideoRequest
) -> ProcessVideoResult:
    """Make films and stills of the source."""
    made = make(pipeline, request.options, request.output_prefix)
    return ProcessVideoResult(
        **told(pipeline, made.media, made.warnings),
        outputs=outputs(made.plan, made.shown, made.published, made.root),
        duration=round(made.shown.duration, 6),
        thumbnails=thumbnails(made.plan, made.published),
        poster=poster(made.published, made.poster),
        sprites=sprites(made.plan, made.published),
    )


def transcode_video(
    pipeline: Pipeline, request: TranscodeVideoRequest
) -> TranscodeVideoResult:
    """Make films of the source: no stills, no mark."""
    options = bare(**request.options.model_dump())
    made = make(pipeline, options, request.output_prefix)
    return TranscodeVideoResult(
        **told(pipeline, made.media, made.warnings),
        outputs=outputs(made.plan, made.shown, made.published, made.root),
        duration=round(made.shown.duration, 6),
    )


def generate_thumbnails(
    pipeline: Pipeline, request: GenerateThumbnailsRequest
) -> GenerateThumbnailsResult:
    """Make stills of the source, which is not encoded."""
    source, media = pipeline.read()
    plan = pipeline.plan(media, bare(thumbnails=request.options))
    seen = pipeline.stills_alone(plan, source)
    warnings = (*media.warnings, *plan.warnings, *seen.pop("warnings"))
    with pipeline.upload(plan, request.output_prefix) as upload:
        published = pipeline.publish(media, upload)
    return GenerateThumbnailsResult(
        **told(pipeline, media, warnings),
        thumbnails=thumbnails(plan, published),
        poster=poster(published, seen),
        sprites=sprites(plan, published),
    )


def add_watermark(
    pipeline: Pipeline, request: AddWatermarkRequest
) -> AddWatermarkResult:
    """Make one MP4 of the source's size, with the mark."""
    options = bare(
        formats=("mp4",),
        ladder="single",
        preset=request.options.preset,
        watermark=WatermarkOptions(**request.options.model_dump(exclude={"preset"})),
    )
    source, media = pipeline.read()
    plan = pipeline.plan(media, options)
    if plan.watermark is None:
        raise ConfigurationError(
            "there is no mark to add: say which in the options, or set WATERMARK_PATH"
        )
    made = encode(pipeline, source, media, plan, request.output_prefix)
    return AddWatermarkResult(
        **told(pipeline, made.media, made.warnings),
        output=mp4(made.shown.video[0], made.published, made.root),
        duration=round(made.shown.duration, 6),
    )


def optimize_video(
    pipeline: Pipeline, request: OptimizeVideoRequest
) -> OptimizeVideoResult:
    """Make one MP4 for browsers: copied where that is enough, else encoded."""
    source, media = pipeline.read()
    options = bare(
        formats=("mp4",),
        ladder="single",
        preset=request.options.preset,
        audio_tracks="default",
        normalize_audio=False,
    )
    plan = pipeline.plan(media, options)
    unfit = pipeline.judge(plan, media, source)
    reasons = (*unfit.picture, *unfit.sound)
    if not unfit.picture:
        if pipeline.copy(plan, media, source, sound=not unfit.sound):
            return _copied(pipeline, request, media, plan, reasons)
        reasons = (*reasons, "copy_failed")
    made = encode(pipeline, source, media, plan, request.output_prefix)
    return OptimizeVideoResult(
        **told(pipeline, media, made.warnings),
        method="encode",
        reasons=reasons,
        output=mp4(made.shown.video[0], made.published, made.root),
        duration=round(made.shown.duration, 6),
    )


def _copied(
    pipeline: Pipeline,
    request: OptimizeVideoRequest,
    media: MediaInfo,
    plan: Plan,
    reasons: tuple[str, ...],
) -> OptimizeVideoResult:
    with pipeline.upload(plan, request.output_prefix) as upload:
        published = pipeline.publish(media, upload)
    return OptimizeVideoResult(
        **told(pipeline, media, media.warnings),
        method="copy_video" if reasons else "copy",
        reasons=reasons,
        output=mp4(plan.video[0], published, pipeline.out),
        duration=plan.duration,
    )


def bare(**options: Any) -> ProcessVideoOptions:
    """Return *options* of films, without the stills and marks of a whole job."""
    return ProcessVideoOptions(**{"thumbnails": False, "watermark": False, **options})


def told(
    pipeline: Pipeline, media: MediaInfo, warnings: tuple[str, ...]
) -> dict[str, Any]:
    """Return what every result tells; each warning once."""
    return {
        "video_id": pipeline.request.video_id,
        "metadata": media,
        "warnings": tuple(dict.fromkeys(warnings)),
        "timings": pipeline.steps.timings,
    }


FLOWS: Final[Mapping[type[SourceRequest], Flow]] = {
    flow.request: flow
    for flow in (
        Flow(ExtractMetadataRequest, READ, extract_metadata),
        Flow(
            ProcessVideoRequest,
            (*READ, *ENCODE, "stills", "verify", "store"),
            process_video,
        ),
        Flow(
            TranscodeVideoRequest,
            (*READ, *ENCODE, "verify", "store"),
            transcode_video,
        ),
        Flow(
            GenerateThumbnailsRequest,
            (*READ, "plan", "stills", "store"),
            generate_thumbnails,
        ),
        Flow(
            OptimizeVideoRequest,
            (*READ, "plan", "check", "copy", *ENCODE[1:], "verify", "store"),
            optimize_video,
        ),
        Flow(AddWatermarkRequest, (*READ, *ENCODE, "verify", "store"), add_watermark),
    )
}
