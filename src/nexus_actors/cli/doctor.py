"""``doctor``: what is installed, what is missing, and the command that installs it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    ConfigurationError,
    MissingExtraError,
    NexusError,
)
from nexus_actors.core.settings import CoreSettings

from .common import REDIS_FIELDS, print_json


#: Any of them names a store.
STORAGE_FIELDS = {"storage_url", "storage_provider", "storage_bucket"}

#: Clocks that differ by more than this make delays and expiry wrong.
MAX_SKEW_MS = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part; *cure* is the command that mends it."""

    part: str
    state: Literal["ok", "warning", "missing"]
    found: str
    cure: str = ""


def install(package: str, brew: str | None = None) -> str:
    """Return the command that installs a system package here."""
    if sys.platform == "darwin":
        return f"brew install {brew or package}"
    return f"sudo apt-get install {package}"


def without(package: str, domain: str) -> Finding:
    """Warn of a Python package that is not installed: not all need its domain."""
    found = f"not installed; the {domain} domain needs it"
    return Finding(package, "warning", found, f'pip install "nexus-actors[{domain}]"')


def check_python() -> Iterator[Finding]:
    """The interpreter."""
    yield Finding("python", "ok", platform.python_version())


def check_settings() -> Iterator[Finding]:
    """The variables of the domains; others are read by the check that needs them."""
    from nexus_actors.analytics.settings import AnalyticsSettings
    from nexus_actors.core.guard import GuardSettings
    from nexus_actors.notifications.settings import NotificationSettings
    from nexus_actors.platforms.settings import PlatformSettings
    from nexus_actors.social.settings import SocialSettings

    for settings in (
        AnalyticsSettings,
        GuardSettings,
        NotificationSettings,
        PlatformSettings,
        SocialSettings,
    ):
        try:
            settings.load()
        except ConfigurationError as error:
            yield Finding("settings", "missing", error.message)


def check_ffmpeg() -> Iterator[Finding]:
    """Both programs, and the encoders and muxer that the video domain uses."""
    from nexus_actors.video.settings import VideoSettings
    from nexus_actors.video.tools import ask, find_tools

    settings = VideoSettings.load()
    try:
        tools = find_tools(settings)
    except NexusError as error:
        yield Finding("ffmpeg", "missing", error.message, install("ffmpeg"))
        return
    yield Finding("ffmpeg", "ok", f"{tools.version} ({tools.ffmpeg})")
    yield Finding("ffprobe", "ok", str(tools.ffprobe))
    for part, kind in (
        ("libx264", "encoders"),
        ("aac", "encoders"),
        ("dash", "muxers"),
    ):
        listed = ask([str(tools.ffmpeg), "-v", "quiet", f"-{kind}"]).split()
        if part in listed:
            yield Finding(f"ffmpeg {part}", "ok", kind[:-1])
        else:
            yield Finding(
                f"ffmpeg {part}",
                "missing",
                f"this ffmpeg was built without it: {tools.ffmpeg}",
                install("ffmpeg"),
            )


def check_imagemagick() -> Iterator[Finding]:
    """The library that wand stands on."""
    try:
        from wand.api import library  # noqa: F401 - loads it, or says that it is missing
        from wand.version import MAGICK_VERSION
    except ImportError as error:
        if "MagickWand" in str(error):
            cure = install("imagemagick")
            yield Finding("imagemagick", "missing", "no MagickWand library", cure)
        else:
            yield without("wand", "video")
        return
    yield Finding("imagemagick", "ok", " ".join(MAGICK_VERSION.split()[1:3]))


def check_packages() -> Iterator[Finding]:
    """The Python packages of the video and the analytics domain."""
    from importlib.util import find_spec

    needed = (
        ("obstore", "obstore", "video"),
        ("ffmpeg-python", "ffmpeg", "video"),
        ("numpy", "numpy", "analytics"),
    )
    for package, module, extra in needed:
        if find_spec(module):
            yield Finding(package, "ok", "installed")
        else:
            yield without(package, extra)


def check_pango() -> Iterator[Finding]:
    """The libraries that reports need as PDF, where WeasyPrint is installed."""
    from ctypes.util import find_library
    from importlib.util import find_spec

    if not find_spec("weasyprint"):
        return
    if all(map(find_library, ("pango-1.0", "pangoft2-1.0"))):
        yield Finding("pango", "ok", "for reports as PDF")
        return
    cure = install("libpango-1.0-0 libpangoft2-1.0-0", "pango")
    found = "not found: reports as PDF fail"
    yield Finding("pango", "warning", found, cure)


def check_redis() -> Iterator[Finding]:
    """The server that is set, or the program that an embedded one needs."""
    settings = CoreSettings.load()
    if not REDIS_FIELDS & settings.model_fields_set:
        from nexus_actors.engine.embedded_redis import default_state

        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program and not _may_make(default_state() / "lock"):
            found = f"the embedded one cannot be kept in {default_state()}"
            yield Finding("redis", "missing", found, "set REDIS_URL")
        elif program:
            yield Finding("redis", "ok", f"REDIS_URL is not set; embedded: {program}")
        else:
            cure = install("redis-server", "redis") + ", or set REDIS_URL"
            yield Finding("redis", "missing", "no redis-server and no REDIS_URL", cure)
        return
    yield from _check_server(settings)


def _check_server(settings: CoreSettings) -> Iterator[Finding]:
    from nexus_actors.engine.connection import (
        check_server,
        connect,
        describe,
        translated,
    )

    client = connect(settings)
    try:
        with translated(client):
            info = client.info()
            seconds, micros = client.time()
        check_server(client)
    except NexusError as error:
        yield Finding("redis", "missing", error.message)
        return
    kind = "valkey" if "valkey_version" in info else "redis"
    found = f"{kind} {info[f'{kind}_version']} at {describe(client)}"
    yield Finding("redis", "ok", found)
    if info.get("maxmemory_policy") not in {None, "noeviction"}:
        cure = "redis-cli CONFIG SET maxmemory-policy noeviction"
        found = f"{info['maxmemory_policy']} may throw queued jobs away"
        yield Finding("redis eviction", "warning", found, cure)
    if not info.get("aof_enabled"):
        cure = "redis-cli CONFIG SET appendonly yes"
        found = "no append-only file: a restart of Redis loses queued jobs"
        yield Finding("redis persistence", "warning", found, cure)
    skew = abs(int(seconds) * 1000 + int(micros) // 1000 - clock.now_ms())
    if skew > MAX_SKEW_MS:
        found = f"this machine's clock differs from the server's by {skew / 1000:.1f} s"
        yield Finding("clock", "warning", found, "run NTP on both")


def check_folders() -> Iterator[Finding]:
    """The folder for working files."""
    folder = CoreSettings.load().temp_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free / 1024**3
    except OSError as error:
        cure = "set TEMP_DIR to a folder that this user may write"
        yield Finding("TEMP_DIR", "missing", f"{folder}: {error.strerror}", cure)
        return
    yield Finding("TEMP_DIR", "ok", f"{folder}, {free:.1f} GiB free")


def check_database() -> Iterator[Finding]:
    """The database, and its schema; where none is set, the file that is made."""
    from nexus_actors.core.database import Database, refuse_unfit, revision

    settings = CoreSettings.load()
    try:
        with closing(Database.open(settings)) as database:
            schema = revision(database)
        refuse_unfit(settings)
    except MissingExtraError:
        return  # what is installed needs none; a host's DATABASE_URL is its own
    except NexusError as error:
        yield Finding("database", "missing", error.message)
    else:
        state = f"schema {schema}" if schema else "made when it is needed"
        if database.path and not schema and not _may_make(database.path):
            cure = "set DATABASE_URL to a file that this user may write, or to a server"
            yield Finding(
                "database", "missing", f"{database.name} cannot be made", cure
            )
        else:
            yield Finding("database", "ok", f"{database.name}, {state}")


def _may_make(file: Path) -> bool:
    """Return whether *file*, and its folders that are missing, may be made."""
    nearest = next(each for each in file.absolute().parents if each.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)


def check_storage() -> Iterator[Finding]:
    """Where outputs go."""
    settings = CoreSettings.load()
    try:
        if STORAGE_FIELDS & settings.model_fields_set:
            yield from _check_outputs(settings)
        else:
            found = "STORAGE_URL is not set; nexus-storage, where the worker starts"
            yield Finding("storage", "ok", found)
    except NexusError as error:
        yield Finding("storage", "missing", error.message)


def check_inputs() -> Iterator[Finding]:
    """Where else inputs may come from."""
    from nexus_actors.core.storage import PROBE, Storage

    settings = CoreSettings.load()
    url = settings.storage_input_url
    try:
        if inputs := Storage.inputs(settings):
            with tempfile.TemporaryDirectory() as folder:
                inputs.get_file(PROBE, Path(folder, "probe"), max_bytes=0)
    except NexusError as error:
        if error.code != "not_found":  # which says that what is there can be read
            yield Finding("storage inputs", "missing", error.message)
            return
    if url:
        yield Finding("storage inputs", "ok", f"{url} can be read")


def _check_outputs(settings: CoreSettings) -> Iterator[Finding]:
    from nexus_actors.core.storage import Storage

    storage = Storage.connect(settings)
    storage.probe()
    yield Finding("storage", "ok", f"{storage.name} can be written")
    if storage.signs_urls:
        found = "STORAGE_PUBLIC_URL is not set: players cannot follow HLS and DASH"
        yield Finding("storage URLs", "warning", found)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_settings,
    check_packages,
    check_ffmpeg,
    check_imagemagick,
    check_pango,
    check_redis,
    check_database,
    check_folders,
    check_storage,
    check_inputs,
)


def find() -> Iterator[Finding]:
    """Check all; a setting that is malformed is told once, and hides nothing else."""
    told = set()
    for check in CHECKS:
        try:
            yield from check()
        except ConfigurationError as error:
            if error.message not in told:
                told.add(error.message)
                yield Finding("settings", "missing", error.message)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> int:
    """Tell what is missing on this machine, and how to install it."""
    findings = list(find())
    if as_json:
        names = ("part", "state", "found", "cure")
        print_json([{name: getattr(f, name) for name in names} for f in findings])
    else:
        for finding in findings:
            click.echo(_line(finding))
    return int(any(finding.state == "missing" for finding in findings))


def _line(finding: Finding) -> str:
    colour = {"ok": "green", "warning": "yellow", "missing": "red"}[finding.state]
    state = click.style(f"{finding.state:<8}", fg=colour)
    cure = f"   -> {finding.cure}" if finding.cure else ""
    return f"{state} {finding.part:<18} {finding.found}{cure}"
