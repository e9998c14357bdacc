"""``exporter``: what Redis knows, as metrics, from a process of its own."""

from __future__ import annotations

import signal
import threading

import click

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import configure, get_logger

from .common import queue


log = get_logger(__name__)


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="By default NEXUS_EXPORTER_PORT; 0 is any free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Of this machine.")
def exporter(port: int | None, host: str) -> None:
    """Answer http://HOST:PORT/metrics with what Redis knows of the queues.

    It is true with no worker alive; the workers' own part comes from their endpoint.
    """
    from prometheus_client.exposition import start_wsgi_server

    from nexus_actors.engine.metrics import Exporter

    stopped = threading.Event()
    with queue() as settings:
        configure(settings.log_level, settings.log_format, env=settings.env)
        port = settings.exporter_port if port is None else port
        registry = Exporter(settings).registry
        try:
            server, thread = start_wsgi_server(port, host, registry)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigurationError(
                f"port {port} of {host} cannot be used: {reason}; "
                "give another with --port, or 0 for any"
            ) from error
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        click.echo(f"http://{host}:{server.server_port}/metrics", err=True)
        stopped.wait()
        server.shutdown()
        server.server_close()
        thread.join()
