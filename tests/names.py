"""A name server on loopback that answers as it is told."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Dns:
    """A name server on loopback: gives `answers` in turn, the last one for ever."""

    port: int
    answers: list[list[str]]
    queries: list[str] = field(default_factory=list)

    def resolve(self, host: str, _: int) -> list[str]:
        """Ask over the network, as a resolver does."""
        name = b"".join(bytes([len(p)]) + p.encode() for p in host.split("."))
        query = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name + b"\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(query, ("127.0.0.1", self.port))
            packet = client.recv(512)
        count = struct.unpack(">H", packet[6:8])[0]
        records = packet[len(query) :]
        return [socket.inet_ntoa(records[16 * n + 12 :][:4]) for n in range(count)]

    def respond(self, query: bytes) -> bytes:
        self.queries.append(query[12:-4].decode("latin-1"))
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        head = query[:2] + struct.pack(">5H", 0x8180, 1, len(found), 0, 0)
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4"
        return head + query[12:] + b"".join(record + socket.inet_aton(a) for a in found)


@contextmanager
def dns(*answers: list[str]) -> Iterator[Dns]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        names, over = Dns(server.getsockname()[1], list(answers)), threading.Event()

        def serve() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    query, client = server.recvfrom(512)
                    server.sendto(names.respond(query), client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield names
        over.set()
        thread.join()
