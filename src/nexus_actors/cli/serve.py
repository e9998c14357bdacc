"""Serves a folder to a browser on this machine."""

from __future__ import annotations

import mimetypes
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from nexus_actors.core.errors import ConfigurationError, MissingExtraError
from nexus_actors.core.storage import MEDIA_TYPES


if TYPE_CHECKING:
    import uvicorn


#: A browser that holds a video half read does not hold up the end, in seconds.
GRACE_S: Final = 1


@dataclass(frozen=True, slots=True)
class Site:
    """A folder at an address of this machine."""

    address: str
    _listener: socket.socket
    _server: uvicorn.Server

    @classmethod
    def open(cls, folder: Path, port: int) -> Self:
        """Take *port* of loopback for *folder*; 0 is any free one.

        Raises:
            MissingExtraError: The packages of the ``web`` extra are not installed.
            ConfigurationError: The port is taken.
        """
        try:
            import uvicorn
            from starlette.applications import Starlette
            from starlette.routing import Mount
            from starlette.staticfiles import StaticFiles
        except ImportError as error:
            raise MissingExtraError("demo --serve", "web") from error

        for suffix, media_type in MEDIA_TYPES.items():
            mimetypes.add_type(media_type, suffix)
        files = StaticFiles(directory=folder, html=True, check_dir=False)
        config = uvicorn.Config(
            Starlette(routes=[Mount("/", files)]),
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
        )
        listener = listen(port)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        return cls(address, listener, uvicorn.Server(config))

    def serve(self) -> None:
        """Answer until Ctrl-C, or until `stop` is called from another thread."""
        try:
            self._server.run(sockets=[self._listener])
        except KeyboardInterrupt:  # uvicorn raises it again after its own clean end
            return

    def stop(self) -> None:
        """Make `serve` return."""
        self._server.should_exit = True


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Take *port* of an address of this machine; 0 is any free one.

    Raises:
        ConfigurationError: It is taken, or there is no such address.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # now, so that two commands never believe to have one port
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"port {port} of {host} cannot be used: {reason}; "
            "give another with --port, or 0 for any"
        ) from error
    return listener
