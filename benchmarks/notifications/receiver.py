"""A TLS server that takes what vendors take, and counts requests and connections."""

from __future__ import annotations

import os
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from benchmarks.runner import BenchmarkError


#: How long a receiver waits for the next message, in seconds.
LIMIT_S: Final = 120

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
    """Counts what arrives.

    Attributes:
        urls: Where each kind of message goes.
        trusted: The file with the authorities that are trusted, and its own.
        connections: How many have been opened.
    """

    def __init__(self, folder: Path) -> None:
        self._news = threading.Semaphore(0)
        self.connections = 0
        certificate, self.trusted = make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def setup(self) -> None:
                # in the connection's own thread: no handshake holds up another
                self.request = context.wrap_socket(self.request, server_side=True)
                receiver.connections += 1
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
                receiver.arrived()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        root = f"https://127.0.0.1:{self._server.server_port}"
        paths = zip(("mail", "slack", "webhook"), ANSWERS, strict=True)
        self.urls = {kind: f"{root}{path}" for kind, path in paths}
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def arrived(self) -> None:
        """Count one."""
        self._news.release()

    def wait(self, count: int) -> None:
        """Return once *count* more have arrived."""
        for _ in range(count):
            if not self._news.acquire(timeout=LIMIT_S):
                raise BenchmarkError(f"no message arrived in {LIMIT_S} s")

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


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
