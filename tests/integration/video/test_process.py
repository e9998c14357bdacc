"""The runner against real processes: programs that behave as ffmpeg does, or worse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import until
from nexus_actors.core import clock
from nexus_actors.core.errors import InternalError, NexusError, Postponed
from nexus_actors.video.errors import DiskFullError, EncodeError, SourceError
from nexus_actors.video.process import TAIL_LINES, EncodeProgress, Runner
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import find_tools


Write = Callable[[str], list[str]]


@pytest.fixture
def program(tmp_path: Path) -> Write:
    """Write a program called ffmpeg; return the command that runs it."""

    def write(body: str, interpreter: str = "/bin/sh") -> list[str]:
        path = tmp_path / "ffmpeg"
        path.write_text(f"#!{interpreter}\n{body}\n")
        path.chmod(0o755)
        return [str(path)]

    return write


@pytest.fixture
def python(program: Callable[..., list[str]]) -> Write:
    return lambda body: program(body, sys.executable)


def runs(pid: int) -> bool:
    """Tell whether *pid* is a process that has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def read_pid(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip().isdigit())
    return int(path.read_text())


def stop_once(path: Path) -> Callable[[], None]:
    """Return a check that stops the job as soon as *path* is there."""

    def check() -> None:
        if path.exists():
            raise Postponed("the worker shuts down", until=clock.now())

    return check


def failure(command: list[str], folder: Path) -> NexusError:
    with pytest.raises(NexusError) as caught:
        Runner(folder).run(command)
    assert len(caught.value.message.splitlines()) == 1
    return caught.value


def test_what_a_program_says_on_stderr_is_returned(
    program: Write, tmp_path: Path
) -> None:
    said = Runner(tmp_path).run(program("echo out; echo one >&2; echo two >&2"))

    assert said == "one\ntwo"


def test_a_program_that_closes_stderr_is_waited_for(
    program: Write, tmp_path: Path
) -> None:
    error = failure(program("echo one >&2; exec 2>&-; sleep 0.4; exit 3"), tmp_path)

    assert error.details == {"exit_code": 3, "stderr": "one"}


def test_the_names_of_our_folders_are_not_told(program: Write, tmp_path: Path) -> None:
    said = Runner(tmp_path).run(program('echo "$PWD/in: \033[31mbad" >&2'))

    assert said == "…/in: [31mbad"


def test_progress_is_told_block_by_block(program: Write, tmp_path: Path) -> None:
    told: list[EncodeProgress] = []
    body = "\n".join(
        f"printf 'frame={30 * n}\\nout_time_us={n}000000\\nspeed= 1.5x\\n"
        f"drop_frames={n}\\nprogress=continue\\n'; sleep 0.5"
        for n in (1, 2)
    )

    Runner(tmp_path).run(program(body), on_progress=told.append)

    assert told
    assert told[-1] == EncodeProgress(seconds=2, frames=60, dropped=2, speed=1.5)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["out_time_us=N/A", "frame=N/A", "speed=N/A"], (0.0, 0, None)),
        (["out_time_us=-9223372036854775807", "frame=-1", "speed=-1x"], (0.0, 0, None)),
        (["out_time_us=2000000", "out_time_us=1000000", "frame=5"], (2.0, 5, None)),
        (["out_time_us=2000000", "out_time_us=N/A"], (2.0, 0, None)),
        (["out_time_us=--5", "frame=²", "frame=", "speed=1.2.3x"], (0.0, 0, None)),
        (["nonsense", "=", "==", "speed=1e+03x"], (0.0, 0, 1000.0)),
        (["out_time_ms=2000000", "out_time=00:00:02"], (0.0, 0, None)),
    ],
)
def test_odd_progress_never_goes_back_and_never_stops_the_reading(
    lines: list[str],
    expected: tuple[float, int, float | None],
    program: Write,
    tmp_path: Path,
) -> None:
    told: list[EncodeProgress] = []
    block = "\n".join([*lines, "progress=continue"])

    Runner(tmp_path).run(
        program(f"cat <<'END'\n{block}\nEND\nsleep 0.5"), on_progress=told.append
    )

    assert (told[-1].seconds, told[-1].frames, told[-1].speed) == expected


def test_a_program_that_makes_no_progress_is_ended(
    program: Write, tmp_path: Path
) -> None:
    body = "echo $$ > pid; printf 'frame=1\\nprogress=continue\\n'; exec sleep 300"

    with pytest.raises(EncodeError, match="no progress for 1 s") as caught:
        Runner(tmp_path).run(program(body), on_progress=lambda _: None, stall_s=1)

    assert (caught.value.code, caught.value.retryable) == ("stalled", True)
    assert not runs(read_pid(tmp_path / "pid"))


def test_a_program_that_tells_the_same_progress_again_and_again_is_stalled(
    program: Write, tmp_path: Path
) -> None:
    body = "while :; do printf 'out_time_us=5\\nprogress=continue\\n'; sleep 0.1; done"

    with pytest.raises(EncodeError) as caught:
        Runner(tmp_path).run(program(body), on_progress=lambda _: None, stall_s=1)

    assert caught.value.code == "stalled"


def test_a_program_without_progress_has_until_its_limit(
    program: Write, tmp_path: Path
) -> None:
    with pytest.raises(EncodeError, match="did not end within 1 s") as caught:
        Runner(tmp_path).run(program("exec sleep 300"), limit_s=1)

    assert (caught.value.code, caught.value.retryable) == ("timeout", True)


def test_a_job_that_must_stop_takes_its_program_along(
    program: Write, tmp_path: Path
) -> None:
    command = program("echo $$ > pid; exec sleep 300")
    started = time.monotonic()

    with pytest.raises(Postponed):
        Runner(tmp_path, stop_once(tmp_path / "pid")).run(command)

    assert not runs(read_pid(tmp_path / "pid"))
    assert time.monotonic() - started < 4  # else it was killed, and not asked to end


def test_a_program_that_will_not_end_is_killed(python: Write, tmp_path: Path) -> None:
    command = python(
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "time.sleep(300)"
    )

    with pytest.raises(Postponed):
        Runner(tmp_path, stop_once(tmp_path / "pid")).run(command)

    assert not runs(read_pid(tmp_path / "pid"))


@pytest.mark.parametrize(
    "body",
    [
        "sleep 300 & echo $! > child; exit 0",
        "sleep 300 & echo $! > child; wait",
        "(trap '' TERM; sleep 300) & echo $! > child; wait",
    ],
    ids=["the program ends", "it is stopped", "the child ignores it"],
)
def test_no_child_of_a_program_outlives_it(
    body: str, program: Write, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    check = stop_once(child) if body.endswith("wait") else lambda: None
    started = time.monotonic()

    with suppress(Postponed):
        Runner(tmp_path, check).run(program(body))

    until(lambda: not runs(read_pid(child)))
    assert time.monotonic() - started < 10


def test_a_flood_on_both_pipes_neither_blocks_nor_fills_the_memory(
    python: Write, tmp_path: Path
) -> None:
    command = python(
        "import os\n"
        "for _ in range(200):\n"
        "    os.write(1, b'x' * 100_000)\n"
        "    os.write(2, b'y' * 100_000)\n"
        "os.write(2, b'\\nthe end\\n' * 1000)"
    )

    said = Runner(tmp_path).run(command, on_progress=lambda _: None, limit_s=60)

    assert said.splitlines()[-1] == "the end"
    assert len(said.splitlines()) == TAIL_LINES


def test_a_long_line_is_kept_in_parts_of_bounded_size(
    python: Write, tmp_path: Path
) -> None:
    said = Runner(tmp_path).run(
        python("import os\nfor _ in range(50): os.write(2, b'y' * 100_000)")
    )

    assert 0 < len(said) < 300_000


NOT_MEDIA = "file:/x/in: Invalid data found when processing input"
CUT = "[mov,mp4 @ 0x1] moov atom not found\nError opening input files: Invalid data"
FULL = "av_interleaved_write_frame(): No space left on device\nConversion failed!"
NO_PICTURE = "more samples than frame size\nError submitting audio frame to the encoder"
GENERIC_9 = "Terminating thread with return code -1 (Operation not permitted)"


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (1, NOT_MEDIA, (SourceError, "corrupt")),
        (183, NOT_MEDIA, (SourceError, "corrupt")),
        (1, CUT, (SourceError, "corrupt")),
        (183, CUT, (SourceError, "corrupt")),
        (69, "Decode error rate 1 exceeds maximum 0.667", (SourceError, "corrupt")),
        (69, "Nothing was written into output file 0", (SourceError, "corrupt")),
        (1, NO_PICTURE, (SourceError, "corrupt")),
        (69, "Error while decoding stream #0:0", (SourceError, "corrupt")),
        (1, "Error reinitializing filters!", (InternalError, "plan_bug")),
        (1, "Decoder (codec none) not found", (SourceError, "unsupported_codec")),
        (1, "no decoder found for: dvav", (SourceError, "unsupported_codec")),
        (1, FULL, (DiskFullError, "disk_full")),
        (228, f"{FULL}\n{GENERIC_9}", (DiskFullError, "disk_full")),
        (1, f"{NOT_MEDIA}\n{FULL}", (DiskFullError, "disk_full")),
        (1, "Disk quota exceeded", (DiskFullError, "disk_full")),
        (1, "in: No such file or directory", (EncodeError, "ffmpeg_failed")),
        (254, "in: No such file or directory", (EncodeError, "ffmpeg_failed")),
        (1, "No such filter: 'zscale'", (InternalError, "plan_bug")),
        (
            8,
            "Unrecognized option 'vsync'.\nOption not found",
            (InternalError, "plan_bug"),
        ),
        (234, "Error initializing filters!", (InternalError, "plan_bug")),
        (8, "Unknown encoder 'libx264'", (InternalError, "plan_bug")),
        (244, "malloc: Cannot allocate memory", (EncodeError, "out_of_memory")),
        (255, "Exiting normally, received signal 15.", (EncodeError, "killed")),
        (127, "libx.so: failed to map segment", (EncodeError, "ffmpeg_failed")),
        (245, "Resource temporarily unavailable", (EncodeError, "ffmpeg_failed")),
        (1, "something never seen before", (EncodeError, "ffmpeg_failed")),
        (1, "", (EncodeError, "ffmpeg_failed")),
    ],
)
def test_an_exit_code_and_its_text_become_the_error_that_fits(
    code: int,
    said: str,
    expected: tuple[type[NexusError], str],
    program: Write,
    tmp_path: Path,
) -> None:
    error = failure(program(f"cat >&2 <<'END'\n{said}\nEND\nexit {code}"), tmp_path)

    assert (type(error), error.code) == expected
    assert error.retryable is isinstance(error, EncodeError | DiskFullError)
    assert error.details["exit_code"] == code
    assert said[-40:] in error.details["stderr"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("KILL", "memory"), ("XFSZ", "SIGXFSZ"), ("SEGV", "SIGSEGV"), ("40", "a signal")],
)
def test_a_killed_program_may_be_tried_again_whatever_it_said_of_its_source(
    name: str, said: str, program: Write, tmp_path: Path
) -> None:
    # a damaged source makes ffmpeg say this and go on
    body = f"echo '{NOT_MEDIA}' >&2; ulimit -c 0; kill -{name} $$; sleep 5"

    error = failure(program(body), tmp_path)

    assert (type(error), error.code) == (EncodeError, "killed")
    assert said in error.message


def test_a_program_that_was_stopped_together_with_its_worker_is_no_failure(
    program: Write, tmp_path: Path
) -> None:
    # as when systemd sends SIGTERM to all processes of a service
    command = program("echo $$ > pid; kill -KILL $$")

    with pytest.raises(Postponed):
        Runner(tmp_path, stop_once(tmp_path / "pid")).run(command)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = failure([str(tmp_path / "gone")], tmp_path)

    assert (type(error), error.code) == (EncodeError, "ffmpeg_failed")
    assert "gone" in error.message


def test_no_secret_of_the_worker_reaches_a_program(
    program: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REDIS_PASSWORD", "NEXUS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")

    said = Runner(tmp_path).run(program("env >&2; cat >&2"))

    assert "PATH=" in said
    assert "hunter2" not in said
    # the shell adds what every shell adds
    names = {line.partition("=")[0] for line in said.splitlines()}
    assert names <= {"PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG", "PWD"} | {
        "OLDPWD",
        "SHLVL",
        "_",
    }


def test_the_real_ffmpeg_stops_in_mid_encode(tmp_path: Path) -> None:
    ffmpeg = str(find_tools(VideoSettings.load()).ffmpeg)
    source = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"]
    command = [ffmpeg, "-nostdin", "-v", "warning", "-progress", "pipe:1", *source]
    seen: list[float] = []

    def check() -> None:
        if seen:
            raise Postponed("the worker shuts down", until=clock.now())

    with pytest.raises(Postponed):
        Runner(tmp_path, check).run(
            [*command, "-f", "null", "-"],
            on_progress=lambda p: seen.append(p.seconds),
        )

    assert seen[0] > 0


WORKER = """
import sys
from pathlib import Path
from nexus_actors.video.process import Runner
Runner(Path(sys.argv[1])).run([sys.argv[2]])
"""


def test_a_killed_worker_takes_its_program_along(
    program: Write, tmp_path: Path
) -> None:
    [path] = program("echo $$ > pid; exec sleep 300")
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), path])
    pid = read_pid(tmp_path / "pid")
    assert runs(pid)

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()

    until(lambda: not runs(pid))


linux = pytest.mark.skipif(sys.platform != "linux", reason="is of Linux alone")


@linux
def test_when_memory_runs_out_a_program_ends_before_its_worker(
    program: Write, tmp_path: Path
) -> None:
    said = Runner(tmp_path).run(program("cat /proc/$$/oom_score_adj >&2"))

    assert said == "1000"
    assert Path("/proc/self/oom_score_adj").read_text().strip() != "1000"


@linux
def test_an_encode_that_needs_more_memory_than_it_may_have_can_be_tried_again(
    tmp_path: Path,
) -> None:
    tools = find_tools(VideoSettings.load())
    picture = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:duration=0.2"]
    command = [str(tools.ffmpeg), "-v", "warning", *picture, "-c:v", "libx264"]

    with pytest.raises(EncodeError, match="CHILD_MEMORY") as caught:
        Runner(tmp_path, memory_bytes=120_000_000).run([*command, "-f", "null", "-"])

    assert caught.value.code == "out_of_memory"


def test_a_program_stands_back_behind_others_as_far_as_is_set(
    program: Write, tmp_path: Path
) -> None:
    runner = Runner(tmp_path, nice=7)

    said = runner.run(program("nice >&2; sh -c nice >&2"))

    assert said.split() == [str(os.nice(0) + 7)] * 2
