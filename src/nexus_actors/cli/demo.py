"""``demo``: the whole system on one machine, with no account anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from nexus_actors.core.errors import (
    ConfigurationError,
    InternalError,
    InvalidRequestError,
)
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs

from .common import ProgressLine, print_json
from .demo_page import write_page
from .demo_posts import publish_everywhere
from .demo_report import report_week
from .demo_vendors import USER, Vendors, vendors
from .queue import print_failure
from .serve import Site


#: Marks a folder as one that an earlier demo has made and this one may replace.
MARKER: Final = ".nexus-demo"

#: How long the sample clip is, in seconds.
SAMPLE_S: Final = 10

#: Its parts: drifting colours, made small since that is cheap and enough for them; the
#: game of life, whose hard edges tell good renditions from bad; and a soft chord.
SAMPLE_COLOURS: Final = (
    "gradients=size=320x180:rate=30:speed=0.02:n=4:seed=11"
    ":c0=0x0b1f4b:c1=0x7a1fa2:c2=0xff6f61:c3=0xffc75f"
)
SAMPLE_CELLS: Final = (
    "life=size=160x90:rate=10:mold=12:ratio=0.18:seed=5"
    ":life_color=0xffffff:death_color=0x3a1c71:mold_color=0x000000"
)
SAMPLE_SOUND: Final = (
    "aevalsrc=0.12*sin(440*PI*t)*(1+sin(PI*t))+0.1*sin(554.37*PI*t)"
    "|0.12*sin(659.26*PI*t)*(1+cos(PI*t))+0.1*sin(440*PI*t):s=48000"
)
SAMPLE_MIX: Final = (
    "[1:v]fps=30,scale=320:180:flags=neighbor,format=gbrp[cells];"
    "[0:v]format=gbrp[colours];[colours][cells]blend=all_mode=screen:all_opacity=0.7,"
    "format=yuv444p,scale=1280:720:flags=neighbor,format=yuv420p[v]"
)


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folders of one demo: what stays and what goes.

    Attributes:
        bucket: Where outputs go instead of the folder, if the environment says so.
    """

    output: Path
    scratch: Path
    bucket: str | None

    @property
    def log(self) -> Path:
        """Where the worker writes what it does."""
        return self.output / "worker.log"


@click.command()
@click.argument("video", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("nexus-demo"),
    show_default=True,
    help="The folder to make.",
)
@click.option("--serve", is_flag=True, help="Serve the result until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
def demo(video: str | None, output: Path, *, serve: bool, port: int) -> int:
    """Show all of it at work, with no account and nothing set up.

    A real worker over a private Redis processes VIDEO, or a sample.  Then who has
    uploaded it is told, it is posted, and a report is made: all vendors are those of a
    sandbox on this machine.

    VIDEO is a file or a URL.  Outputs go to the bucket that STORAGE_URL names, if it
    names one, else into the folder.
    """
    output = output.resolve()
    video = plain(video)
    check_video(video, output)
    bucket = find_bucket()
    site = Site.open(output, port) if serve else None
    clear(output)
    with interruptible(), vendors() as told:
        with tempfile.TemporaryDirectory(prefix="nexus-demo-") as scratch:
            place = Workplace(output, Path(scratch), bucket)
            source = video or str(make_sample(place.scratch))
            video_id = "demo"
            record, posts, report = run_jobs(place, source, video_id, told)
        if record.state != "succeeded":
            why = record.error or {"message": record.state}
            print_failure({"video_id": video_id}, why)
            return 1
        page = write_page(output, record.result, name_of(source))
        about = {"page": str(page), "video_id": video_id, "status": "succeeded"}
        print_json({**about, "posts": posts, "report": report})
        click.echo(f"open    {page.as_uri()}", err=True)
        if told:
            click.echo(f"arrived {told.write(output).as_uri()}", err=True)
        if report:
            click.echo(f"report  {shown(opened(report, output))}", err=True)
        if site:
            where = f"; the vendors are at {told.url}" if told else ""
            click.echo(f"serving {site.address}  (Ctrl-C ends it){where}", err=True)
            site.serve()
    return int(any(map(has_failed, posts.values())))


def has_failed(post: dict[str, Any]) -> bool:
    """Tell whether a post came to nothing; that a platform's rules are told is well."""
    return bool(post["error"]) and post["error"]["code"] != "invalid_content"


def name_of(source: str) -> str:
    """Return what people call a video: the end of its path."""
    return shown(source).rpartition("/")[2]


def plain(video: str | None) -> str | None:
    """Return the path that a ``file://`` URL means; anything else as it is."""
    if video is None or not video.startswith("file://"):
        return video
    from nexus_actors.video.guard import local_path

    return str(local_path(video))


def find_bucket() -> str | None:
    """Return the bucket that the environment names for outputs, seen to work.

    Raises:
        NexusError: It does not work.
    """
    from nexus_actors.core.places import output_url
    from nexus_actors.core.storage import Storage

    settings = CoreSettings.load()
    if not output_url(settings).startswith("s3://"):
        return None
    storage = Storage.connect(settings)
    storage.probe()
    return storage.name


def check_video(video: str | None, output: Path) -> None:
    """Refuse what is no file, and what the demo itself would delete."""
    if video is None or "://" in video:  # the worker refuses URLs that it cannot read
        return
    if not Path(video).is_file():
        raise InvalidRequestError(f"there is no file {video}")
    if Path(video).resolve().is_relative_to(output):
        raise InvalidRequestError(
            f"{video} lies in {output}, which the demo replaces; "
            "give another folder with --output"
        )


def clear(output: Path) -> None:
    """Make an empty folder, replacing only what an earlier demo has made."""
    try:
        if output.exists() and any(output.iterdir()):
            if not (output / MARKER).exists():
                raise ConfigurationError(
                    f"{output} is not empty and not from an earlier demo; "
                    "give another folder with --output"
                )
            shutil.rmtree(output)
        output.mkdir(parents=True, exist_ok=True)
        (output / MARKER).touch()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"cannot write to {output}: {reason}; give another folder with --output"
        ) from error


@contextmanager
def interruptible() -> Iterator[None]:
    """Take SIGTERM and a closed terminal like Ctrl-C: what was started is stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def make_sample(folder: Path) -> Path:
    """Make a clip with motion and sound, so that the demo needs no file."""
    from nexus_actors.video.settings import VideoSettings
    from nexus_actors.video.tools import find_tools

    tools = find_tools(VideoSettings.load())
    sample = folder / "sample.mp4"
    command = [str(tools.ffmpeg), "-v", "error", "-nostdin"]
    for source in (SAMPLE_COLOURS, SAMPLE_CELLS, SAMPLE_SOUND):
        command += ["-f", "lavfi", "-i", source]
    command += ["-filter_complex", SAMPLE_MIX, "-map", "[v]", "-map", "2:a"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", "-b:a", "96k"]
    command += ["-t", str(SAMPLE_S), str(sample)]
    done = subprocess.run(  # noqa: S603 - our own arguments
        command, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise InternalError(f"ffmpeg could not make the sample: {done.stderr[-300:]}")
    return sample


def run_jobs(
    place: Workplace, source: str, video_id: str, told: Vendors | None
) -> tuple[jobs.JobRecord, dict[str, dict[str, Any]], dict[str, Any] | None]:
    """Send one video through a worker process; the vendors are *told* of it.

    Returns:
        The last record of the first job, what became of the posts, and the report.
    """
    from nexus_actors.engine.embedded_redis import embedded_redis
    from nexus_actors.video import process_video

    line = ProgressLine()

    def show(record: jobs.JobRecord) -> None:
        if record.progress:
            line.show(**record.progress)

    with ExitStack() as stack:
        redis = stack.enter_context(embedded_redis(place.scratch / "redis"))
        stack.enter_context(environment(place, redis.url, told))
        worker = stack.enter_context(worker_process(place))
        stack.callback(line.clear)
        click.echo(f"redis   {redis.url}", err=True)
        click.echo(f"worker  dramatiq nexus_actors.worker ({worker.pid})", err=True)
        click.echo(f"video   {shown(source)}", err=True)
        click.echo(f"storage {place.bucket or place.output / 'media'}", err=True)
        title = Path(name_of(source)).stem[:100]
        message = process_video.send(
            video_id=video_id, input_path=absolute(source), user_id=USER, title=title
        )
        record = wait_for(message.message_id, show, worker, place)
        line.clear()
        if not told or record.state != "succeeded":
            return record, {}, None
        told.tell(record.result, title)
        posts = publish_everywhere(video_id)
        pictures = [item["uri"] for item in record.result["thumbnails"]]
        report = report_week("The week on all platforms", pictures, USER)
        told.await_mails(2)
        return record, posts, report


def wait_for(
    job_id: str,
    show: Callable[[jobs.JobRecord], None],
    worker: subprocess.Popen[bytes],
    place: Workplace,
) -> jobs.JobRecord:
    """Return the job's last record.

    Raises:
        InternalError: The worker has stopped.
    """
    while True:
        try:
            return jobs.wait(job_id, on_change=show, timeout_s=1)
        except TimeoutError:
            if worker.poll() is not None:
                raise InternalError(
                    f"the worker has stopped; see {place.log}"
                ) from None


def absolute(source: str) -> str:
    """Return *source*, a path or a URL, as the worker finds it from another folder."""
    return source if "://" in source else str(Path(source).absolute())


def opened(report: dict[str, Any], output: Path) -> str:
    """Return what a browser opens a report by; the demo's store is a folder."""
    url = str(report["url"])
    return url if "://" in url else (output / url).as_uri()


def shown(source: str) -> str:
    """Return *source* without a URL's query, which may be a secret."""
    return source.partition("?")[0] if "://" in source else source


@contextmanager
def environment(
    place: Workplace, redis_url: str, told: Vendors | None
) -> Iterator[None]:
    """Point this process and its children to the demo's own parts."""
    ours: dict[str, str] = {
        "NEXUS_REDIS_URL": redis_url,
        "NEXUS_TEMP_DIR": str(place.scratch / "tmp"),
        "NEXUS_LOG_FORMAT": "json",
        "NEXUS_DOMAINS": "video",
        "NEXUS_HEALTH_CHECK_PORT": "0",
    }
    if told:
        ours |= told.environment(place.scratch)
        ours["NEXUS_DOMAINS"] = "analytics,notifications,social,video"
    if place.bucket is None:
        ours["NEXUS_STORAGE_URL"] = str(place.output / "media")
        ours["NEXUS_STORAGE_PUBLIC_URL"] = "media"
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def worker_process(place: Workplace) -> Iterator[subprocess.Popen[bytes]]:
    """Run a real dramatiq worker, and stop it in the end."""
    from nexus_actors.engine.supervisor import dramatiq_command

    command = dramatiq_command("nexus_actors.worker", threads=4)
    with place.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            command, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            click.echo("the worker does not stop by itself and is killed", err=True)
        finally:  # also when Ctrl-C comes a second time
            process.kill()
            process.wait()
