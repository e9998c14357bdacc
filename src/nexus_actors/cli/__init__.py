"""The `nexus-actors` command.

Results are JSON on stdout and nothing else is; progress, logs and errors go to stderr.
Only what a person reads, and tables that are exported, are not JSON unless asked for.
Exit codes: 0 done, 1 the work failed, 2 wrong use.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import version

import click

from nexus_actors.core.errors import (
    ConfigurationError,
    InvalidRequestError,
    MissingToolError,
    NexusError,
)

from .analytics import analytics
from .dashboard import dashboard
from .db import db
from .dead import dead
from .demo import demo
from .doctor import doctor
from .exporter import exporter
from .health import health
from .oauth import oauth
from .publications import publications
from .queue import events, job, send
from .queues import queues
from .sandbox import sandbox
from .schedule import schedule
from .templates import templates
from .worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,  # read by `_tell`, which tells of every error
    help="Show the traceback of an error.",
)
@click.version_option(version("nexus-actors"), prog_name="nexus-actors")
@click.pass_context
def cli(context: click.Context) -> None:
    """Video, social, analytics and notification workers on dramatiq and Redis."""
    if os.environ.get("NO_COLOR"):  # no-color.org
        context.color = False


for command in (
    *(
        analytics,
        dashboard,
        db,
        dead,
        demo,
        doctor,
        events,
        exporter,
        health,
        job,
        oauth,
    ),
    *(publications, queues, sandbox, schedule, send, templates, worker),
):
    cli.add_command(command)


def main() -> None:
    """Run the command; every error is one readable line."""
    try:
        code = cli.main(standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except NexusError as error:
        _tell(error.message)
        code = 2 if _is_wrong_use(error) else 1
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        _tell(f"{where}{error.strerror or error}; `nexus-actors -v` shows where")
        code = 1
    except Exception as error:  # noqa: BLE001 - the boundary: a fault of ours
        _tell(f"{type(error).__name__}: {error}; `nexus-actors -v` shows where")
        code = 1
    sys.exit(code)


def _tell(message: str) -> None:
    if {"-v", "--verbose"} & set(sys.argv[1:2]):
        traceback.print_exc()
    click.echo(f"error: {message}", err=True)


def _is_wrong_use(error: NexusError) -> bool:
    shape = isinstance(error, InvalidRequestError | ConfigurationError)
    return shape and not isinstance(error, MissingToolError)
