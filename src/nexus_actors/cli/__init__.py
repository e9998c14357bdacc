"""The `nexus-actors` command.

Results are JSON on stdout and nothing else is; progress, logs and errors go to stderr.
Exit codes: 0 done, 1 the work failed, 2 wrong use.
"""

from __future__ import annotations

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

from .demo import demo
from .doctor import doctor
from .queue import events, job, send
from .worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks and debug logs.")
@click.version_option(version("nexus-actors"), prog_name="nexus-actors")
@click.pass_context
def cli(context: click.Context, *, verbose: bool) -> None:
    """Video, social, analytics and notification workers on dramatiq and Redis."""
    context.obj = {"verbose": verbose}


for command in (demo, doctor, events, job, send, worker):
    cli.add_command(command)


def main() -> None:
    """Run the command; every error is one readable line."""
    verbose = {"-v", "--verbose"} & set(sys.argv[1:2])
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except NexusError as error:
        if verbose:
            traceback.print_exc()
        click.echo(f"error: {error.message}", err=True)
        sys.exit(2 if _is_wrong_use(error) else 1)


def _is_wrong_use(error: NexusError) -> bool:
    shape = isinstance(error, InvalidRequestError | ConfigurationError)
    return shape and not isinstance(error, MissingToolError)
