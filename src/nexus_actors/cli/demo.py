"""``demo``: the whole system on one machine, with no account anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from nexus_actors.core.errors import ConfigurationError, InternalError
from nexus_actors.engine import jobs

from .common import ProgressLine, print_json
from .demo_page import write_page
from .queue import print_failure


#: Marks a folder as one that an earlier demo has made and this one may replace.
MARKER: Final = ".nexus-demo"

#: How long the sample clip is, in seconds.
SAMPLE_S: Final = 10


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folders of one demo: what stays and what goes."""

    output: Path
    scratch: Path

    @property
    def log(self) -> Path:
        """Where the worker writes what it does."""
        return self.output / "worker.log"


@click.command()
@click.argument("video", required=False, type=click.Path(path_type=Path))
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
def demo(video: Path | None, output: Path, *, serve: bool, port: int) -> int:
    """Process VIDEO, or a sample, with a real worker over a private Redis."""
    clear(output)
    with tempfile.TemporaryDirectory(prefix="nexus-demo-") as scratch:
        place = Workplace(output.resolve(), Path(scratch))
        source = video.absolute() if video else make_sample(place.scratch)
        video_id = "demo"
        record = run_job(place, source, video_id)
    if record.state != "succeeded":
        print_failure({"video_id": video_id}, record.error or {"message": record.state})
        return 1
    page = write_page(place.output, record.result, source.name)
    click.echo(f"open {page}", err=True)
    if serve:
        from .serve import serve_folder

        serve_folder(place.output, port)
    print_json({"page": str(page), "video_id": video_id, "status": "succeeded"})
    return 0


def clear(output: Path) -> None:
    """Make an empty folder, replacing only what an earlier demo has made."""
    if output.exists() and any(output.iterdir()):
        if not (output / MARKER).exists():
            raise ConfigurationError(
                f"{output} is not empty and not from an earlier demo; "
                "give another folder with --output"
            )
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / MARKER).touch()


def make_sample(folder: Path) -> Path:
    """Make a clip with motion and sound, so that the demo needs no file."""
    from nexus_actors.video.settings import VideoSettings
    from nexus_actors.video.tools import find_tools

    tools = find_tools(VideoSettings.load())
    sample = folder / "sample.mp4"
    picture = (
        f"gradients=size=1280x720:rate=30:duration={SAMPLE_S}:speed=0.03:n=5:seed=7"
    )
    tone = f"sine=frequency=220:beep_factor=2:duration={SAMPLE_S}"
    count = f"testsrc2=size=320x180:rate=30:duration={SAMPLE_S}"
    command = [str(tools.ffmpeg), "-v", "error", "-nostdin"]
    for source in (picture, count, tone):
        command += ["-f", "lavfi", "-i", source]
    command += ["-filter_complex", "[0:v][1:v]overlay=(W-w)/2:(H-h)/2[v]"]
    command += ["-map", "[v]", "-map", "2:a", "-c:v", "libx264", "-preset", "veryfast"]
    command += ["-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", str(sample)]
    done = subprocess.run(  # noqa: S603 - our own arguments
        command, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise InternalError(f"ffmpeg could not make the sample: {done.stderr[-300:]}")
    return sample


def run_job(place: Workplace, source: Path, video_id: str) -> jobs.JobRecord:
    """Send one video through a worker process; return the job's last record."""
    from nexus_actors.engine.embedded_redis import embedded_redis
    from nexus_actors.video import process_video

    line = ProgressLine()

    def show(record: jobs.JobRecord) -> None:
        if record.progress:
            line.show(**record.progress)

    with ExitStack() as stack:
        redis = stack.enter_context(embedded_redis(place.scratch / "redis"))
        stack.enter_context(environment(place, redis.url))
        worker = stack.enter_context(worker_process(place))
        stack.callback(line.clear)
        click.echo(f"redis   {redis.url}", err=True)
        click.echo(
            f"worker  dramatiq nexus_actors.worker:video ({worker.pid})", err=True
        )
        click.echo(f"video   {source}", err=True)
        message = process_video.send(video_id=video_id, input_path=str(source))
        while True:
            try:
                return jobs.wait(message.message_id, on_change=show, timeout_s=1)
            except TimeoutError:
                if worker.poll() is not None:
                    raise InternalError(
                        f"the worker has stopped; see {place.log}"
                    ) from None


@contextmanager
def environment(place: Workplace, redis_url: str) -> Iterator[None]:
    """Point this process and its children to the demo's own parts."""
    ours: dict[str, str] = {
        "NEXUS_REDIS_URL": redis_url,
        "NEXUS_TEMP_DIR": str(place.scratch / "tmp"),
        "NEXUS_STORAGE_URL": str(place.output / "media"),
        "NEXUS_STORAGE_PUBLIC_URL": "media",
        "NEXUS_LOG_FORMAT": "json",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def worker_process(place: Workplace) -> Iterator[subprocess.Popen[bytes]]:
    """Run a real dramatiq worker, and stop it in the end."""
    from nexus_actors.engine.supervisor import dramatiq_command

    command = dramatiq_command("nexus_actors.worker:video", threads=1)
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
            process.kill()
            process.wait()
