"""A TLS server that takes what vendors take, and counts requests and connections."""

from __future__ import annotations

import os
import select
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from benchmarks.runner import BenchmarkError


#: How long a receiver waits for the next message, in seconds.
LIMIT_S: Final = 120

#: What the server tells of.
CONNECTION: Final = b"c"
MESSAGE: Final = b"m"

#: What each path is answered with: status, headers, body.
ANSWERS: Final[dict[str, tuple[int, dict[str, str], bytes]]] = {
    "/v3/mail/send": (202, {"X-Message-Id": "m"}, b""),
    "/api/chat.postMessage": (
        200,
        {"Content-Type": "application/json"},
        b'{"ok": true, "channel": "C0123456789", "ts": "1.000001"}',
    ),
    "/hook": (200, {}, b""),
}


class Receiver:
    """The server in a process of its own, as a vendor's is.

    Attributes:
        urls: Where each kind of message goes.
        trusted: The file with the authorities that are trusted, and its own.
        connections: How many have been opened, as far as `wait` has heard.
    """

    def __init__(self, folder: Path) -> None:
        certificate, self.trusted = make_certificate(folder)
        self.connections = 0
        self._process = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-m", __name__, str(certificate)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdout  # noqa: S101 - asked for
        self._told = self._process.stdout
        root = f"https://127.0.0.1:{int(self._told.readline())}"
        paths = zip(("mail", "slack", "webhook"), ANSWERS, strict=True)
        self.urls = {kind: f"{root}{path}" for kind, path in paths}

    def wait(self, count: int) -> None:
        """Return once *count* more have arrived."""
        while count > 0:
            if not select.select([self._told], [], [], LIMIT_S)[0]:
                raise BenchmarkError(f"no message arrived in {LIMIT_S} s")
            heard = self._told.read(count)
            self.connections += heard.count(CONNECTION)
            count -= heard.count(MESSAGE)

    def close(self) -> None:
        """Serve no more."""
        self._process.terminate()
        self._process.wait()
        self._told.close()


def serve(certificate: Path) -> None:
    """Serve for ever; tell the port, and then each connection and message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            # in the connection's own thread: no handshake holds up another
            self.request = context.wrap_socket(self.request, server_side=True)
            os.write(1, CONNECTION)
            super().setup()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = ANSWERS[self.path.rstrip("/")]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            os.write(1, MESSAGE)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    os.write(1, f"{server.server_port}\n".encode())
    server.serve_forever()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1; return it with its key, and who trusts it."""
    import certifi
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = datetime.now(UTC)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(addresses, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    own, trusted = folder / "server.pem", folder / "trusted.pem"
    own.write_bytes(private + certificate)
    trusted.write_bytes(Path(certifi.where()).read_bytes() + certificate)
    return own, trusted


if "BENCH_TRUST" in os.environ:
    # in a worker: what a user's URL leads to is trusted by no variable of the machine
    import requests.adapters

    requests.adapters.DEFAULT_CA_BUNDLE_PATH = os.environ["BENCH_TRUST"]

if __name__ == "__main__":
    serve(Path(sys.argv[1]))
