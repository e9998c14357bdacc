"""``exporter``: what Redis knows, as metrics, from a process of its own."""

from __future__ import annotations

import signal
from typing import Final

import click

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import configure

from .common import queue


#: What ends it.
ENDS: Final = {signal.SIGTERM, signal.SIGINT}


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="By default NEXUS_EXPORTER_PORT; 0 is any free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Of this machine.")
def exporter(port: int | None, host: str) -> None:
    """Serve what Redis knows of the queues, as metrics.

    It answers at http://HOST:PORT/metrics, and is true with no worker alive; the
    workers' own part comes from their endpoint.
    """
    from prometheus_client.exposition import start_wsgi_server

    from nexus_actors.engine.metrics import Exporter

    with queue() as settings:
        configure(settings.log_level, settings.log_format, env=settings.env)
        port = settings.exporter_port if port is None else port
        registry = Exporter(settings).registry
        # blocked in every thread: one that came to a thread that answers would not
        # wake this one
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        try:
            try:
                server, thread = start_wsgi_server(port, host, registry)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise ConfigurationError(
                    f"port {port} of {host} cannot be used: {reason}; "
                    "give another with --port, or 0 for any"
                ) from error
            click.echo(f"http://{host}:{server.server_port}/metrics", err=True)
            signal.sigwait(ENDS)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        server.shutdown()
        server.server_close()
        thread.join()
