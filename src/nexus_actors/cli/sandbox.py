"""``sandbox``: the vendors on loopback, with a page that shows what arrived."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from nexus_actors.core.errors import ConfigurationError, MissingExtraError

from .common import print_json
from .serve import listen


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any.")
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A fault script: a JSON list.",
)
@click.option(
    "--log",
    "log_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also append each request to FILE, as a line of JSON.",
)
def sandbox(port: int, faults_file: Path | None, log_file: Path | None) -> int:
    """Run all vendors on loopback, to build and test against."""
    try:
        from nexus_actors.sandbox import Sandbox, read_faults, run
    except ImportError as error:
        raise MissingExtraError("sandbox", "web") from error

    try:
        faults = read_faults(faults_file) if faults_file else []
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {faults_file}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{faults_file} is no fault script: {error}"
        ) from error
    if log_file:
        try:
            log_file.open("a").close()
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {log_file}: {error.strerror}"
            ) from error
    listener = listen(port)
    app = Sandbox(faults, log_file=log_file)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, lambda *_: None)  # the server stops; that is all we want
    print_json({"url": url, "vendors": {name: f"{url}/{name}" for name in app.vendors}})
    click.echo("the page is at the same address; Ctrl-C ends it", err=True)
    run(app, listener)
    return 0
