"""A web server on loopback that answers as it is told, faults included."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


#: Writes an answer to a request, or does what a bad server does instead.
Reply = Callable[[socket.socket, Request], None]


def reply(
    status: int = 200, body: bytes | str | object = b"", **headers: str | int
) -> Reply:
    """Answer with *body*: bytes, or what becomes JSON; `Retry_After` as header name."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content_Length": str(len(content))} | headers
    head = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in lines.items())
    whole = f"HTTP/1.1 {status} x\r\n{head}\r\n".encode() + content

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(whole)
        if len(content) != int(lines["Content_Length"]):
            hang_up(connection, _)

    return answer


def hang_up(connection: socket.socket, _: Request) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Web:
    """Gives `replies` in turn, the last one for ever; keeps what it has seen."""

    port: int
    scheme: str = "http"
    replies: list[Reply] = field(default_factory=lambda: [reply()])
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    #: Closes each new connection before it reads, as long as it is true.
    refuses: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def drip(self, connection: socket.socket, _: Request) -> None:
        """Answer one byte at a time, for ever."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.over.wait(0.05):
            connection.sendall(b"x")

    def say_nothing(self, _: socket.socket, __: Request) -> None:
        self.over.wait(20)

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection:
            file = connection.makefile("rb")
            while not self.refuses and (request := read_request(file)):
                answer = self.replies[0]
                if len(self.replies) > 1:
                    self.replies.pop(0)
                self.requests.append(request)
                answer(connection, request)


def read_request(file: BinaryIO) -> Request | None:
    line = file.readline().decode()
    if not line:
        return None
    method, path, _ = line.split(" ")
    headers: dict[str, str] = {}
    while head := file.readline().decode("latin-1").strip():
        name, _, value = head.partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


@contextmanager
def web(
    address: str = "127.0.0.1", port: int = 0, *, context: ssl.SSLContext | None = None
) -> Iterator[Web]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
        site = Web(listener.getsockname()[1], "https" if context else "http")

        def answer(connection: socket.socket) -> None:
            if context:
                with suppress(OSError):
                    connection = context.wrap_socket(connection, server_side=True)
            site.serve(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    site.connections += 1
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(
                        target=answer, args=(connection,), daemon=True
                    ).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            site.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@contextmanager
def serving(**files: bytes) -> Iterator[str]:
    """Serve *files* by name; any other leads to the first; yield the address."""
    first = "/" + next(iter(files))

    def answer(connection: socket.socket, request: Request) -> None:
        found = files.get(request.path.partition("?")[0].strip("/"))
        given = reply(302, Location=first) if found is None else reply(200, found)
        given(connection, request)

    with web() as site:
        site.replies = [answer]
        yield site.url("")


def certificate(folder: Path, *names: str) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for *names* that is its own authority."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-addext", "subjectAltName=" + ",".join(f"DNS:{n}" for n in names)]
    command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    command += ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def stalling_headers(over: threading.Event) -> Reply:
    """Send one header after the other and never the end of them."""

    def answer(connection: socket.socket, _: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            connection.sendall(b"X-More: 1\r\n")

    return answer
