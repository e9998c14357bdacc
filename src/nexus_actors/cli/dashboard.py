"""``dashboard``: the operator's page, for a browser."""

from __future__ import annotations

import ipaddress
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from nexus_actors.core.errors import (
    BrokerUnavailable,
    ConfigurationError,
    MissingExtraError,
)
from nexus_actors.core.logs import configure

from .common import print_json, queue
from .serve import GRACE_S, listen


if TYPE_CHECKING:
    from nexus_actors.dashboard import Dashboard
    from nexus_actors.dashboard.settings import DashboardSettings

#: What a browser on this machine calls it.
LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")

#: How often the rates are noted while nobody looks, in seconds.
WATCH_S: Final = 5.0


@click.command()
@click.option("--host", help="By default NEXUS_DASHBOARD_HOST, which is loopback.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="By default NEXUS_DASHBOARD_PORT, 3006; 0 is any free one.",
)
@click.option("--read-only", is_flag=True, help="Let nobody change anything.")
def dashboard(host: str | None, port: int | None, *, read_only: bool) -> int:
    """Serve the operator's page for a browser.

    It lets a person do what the other commands do.  Other machines reach it only with
    NEXUS_DASHBOARD_PASSWORD set.
    """
    try:
        import uvicorn

        from nexus_actors.dashboard.settings import DashboardSettings
    except ModuleNotFoundError as error:
        raise MissingExtraError("dashboard", "dashboard") from error

    settings = DashboardSettings.load()
    host = host or settings.host
    with queue() as core:
        configure(core.log_level, core.log_format, env=core.env)
        app = _app(settings, host, read_only=read_only)
        listener = listen(settings.port if port is None else port, host)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=GRACE_S,
        )
        for ends in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ends, lambda *_: None)  # the server stops; that is all
        place = f"[{host}]" if ":" in host else host
        print_json({"url": f"http://{place}:{listener.getsockname()[1]}/"})
        click.echo("open it in a browser; Ctrl-C ends it", err=True)
        stopped = threading.Event()
        threading.Thread(target=_watch, args=(app, stopped), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listener])
        stopped.set()
    return 0


def _app(settings: DashboardSettings, host: str, *, read_only: bool) -> Dashboard:
    from nexus_actors.dashboard import Access, Dashboard
    from nexus_actors.dashboard.gate import asks_for

    is_local = _is_loopback(host)
    if settings.password is None and not is_local:
        raise ConfigurationError(
            f"{host} can be reached from other machines: set NEXUS_DASHBOARD_PASSWORD, "
            "or mount the dashboard in an app of yours that knows its users"
        )
    named = [name.strip() for name in settings.names.split(",") if name.strip()]
    return Dashboard(
        authorize=asks_for(settings.password.get_secret_value())
        if settings.password
        else lambda _: Access.WRITE,
        hosts=[*LOOPBACK, *named] if is_local or named else None,
        read_only=read_only or settings.read_only,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _watch(app: Dashboard, stopped: threading.Event) -> None:
    """Note what the queues are like, so that the first who looks is told the rates."""
    from nexus_actors.engine import queues

    while not stopped.wait(WATCH_S):
        with suppress(BrokerUnavailable):
            app.meter.note(queues.overview())
