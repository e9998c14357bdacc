"""Serves a folder to a browser on this machine."""

from __future__ import annotations

import mimetypes
import socket
from pathlib import Path

import click

from nexus_actors.core.errors import ConfigurationError, MissingExtraError


#: What Python's table of types does not know, or knows otherwise.
MEDIA_TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".webp": "image/webp",
}


def serve_folder(folder: Path, port: int) -> None:
    """Serve *folder* on loopback until Ctrl-C; *port* 0 is any free one.

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
    listener = _listen(port)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    click.echo(f"serving {address}  (Ctrl-C ends it)", err=True)
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])
    config = uvicorn.Config(app, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; "
            "give another with --port, or 0 for any"
        ) from error
    return listener
