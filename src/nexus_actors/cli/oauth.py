"""``oauth``: connects creators' accounts."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import click

from nexus_actors.core.credentials import Account
from nexus_actors.core.errors import AuthorizationError, ConfigurationError
from nexus_actors.platforms.logins import LOGINS

from .common import log_to_stderr, print_json


LOOPBACK = {"127.0.0.1", "localhost"}

#: How often it is looked whether the browser was here.
LOOK_S = 0.2

PLATFORM = click.Choice(sorted(LOGINS))


@click.group()
def oauth() -> None:
    """Connect, list, renew and disconnect creators' accounts."""
    log_to_stderr()


@oauth.command()
@click.argument("platform", type=PLATFORM)
@click.option(
    "--redirect-uri",
    help="Where the platform sends you back to; by default to this machine.",
)
@click.option("--figures", is_flag=True, help="Let figures be collected, too.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Of this machine; by default any free one.",
)
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How long to wait for you, in seconds.",
)
def login(
    platform: str, *, redirect_uri: str | None, figures: bool, port: int, timeout: int
) -> None:
    """Connect the account that you choose in your browser."""
    from nexus_actors.social.accounts import accounts, begin_login, finish_login

    accounts(platform)  # who cannot keep one is told before a person has consented
    with _Receiver(port) as receiver:
        # Facebook knows no numbers for this machine
        host = "localhost" if platform == "facebook" else "127.0.0.1"
        uri = redirect_uri or f"http://{host}:{receiver.server_port}/callback"
        begun = begin_login(platform, redirect_uri=uri, figures=figures)
        click.echo(f"Open this address in your browser:\n{begun.url}", err=True)
        if urlsplit(uri).hostname in LOOPBACK:
            came_back = receiver.wait(timeout)
        else:
            text = "Paste the address that you were sent to"
            came_back = click.prompt(text, hide_input=True, err=True)
    found = finish_login(platform, came_back, begun, redirect_uri=uri)
    print_json([_told(account) for account in found])


@oauth.command("list")
@click.option("--platform", type=PLATFORM)
def list_accounts(platform: str | None) -> None:
    """List the accounts that are connected; no tokens."""
    from nexus_actors.social.accounts import accounts

    print_json([_told(account) for account in accounts(platform)])


@oauth.command()
@click.argument("platform", type=PLATFORM)
@click.argument("account")
def refresh(platform: str, account: str) -> None:
    """Renew the tokens of an account now."""
    from nexus_actors.social.sweeps import refresh as renew

    print_json(renew(platform, account))


@oauth.command()
@click.argument("platform", type=PLATFORM)
@click.argument("account")
def revoke(platform: str, account: str) -> None:
    """Disconnect an account: forget its tokens, and end them at the platform."""
    from nexus_actors.social.accounts import disconnect

    print_json(_told(disconnect(platform, account)))


@oauth.command()
def rotate() -> None:
    """Seal all accounts with the first key of NEXUS_SECRET_KEY."""
    from nexus_actors.social.accounts import rotate_keys

    print_json({"rotated": rotate_keys()})


class _Receiver(ThreadingHTTPServer):
    """Takes the one request by which a browser brings the code back.

    Browsers open connections ahead of a need: one of those keeps no other waiting.
    """

    def __init__(self, port: int) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Callback)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on port {port} of this machine ({error.strerror}): "
                "choose another --port"
            ) from error
        self.came_back: str | None = None

    def wait(self, seconds: int) -> str:
        """Return the address that the browser was sent to.

        Raises:
            AuthorizationError: It did not come.
        """
        import time

        ends = time.monotonic() + seconds
        while self.came_back is None:
            left = ends - time.monotonic()
            if left <= 0:
                raise AuthorizationError(
                    f"nobody came back within {seconds} s: begin again",
                    code="timeout",
                )
            self.timeout = min(left, LOOK_S)
            self.handle_request()
        return self.came_back


class _Callback(BaseHTTPRequestHandler):
    server: _Receiver

    def do_GET(self) -> None:
        is_it = urlsplit(self.path).path == "/callback"
        body = b"You can close this page." if is_it else b"Not here."
        self.send_response(200 if is_it else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if is_it:
            self.server.came_back = self.path

    def log_message(self, *_: Any) -> None:
        """Say nothing: the address holds the code."""


def _told(account: Account) -> dict[str, Any]:
    credential = account.credential
    ends = credential.expires_at if credential else None
    return {
        "platform": account.platform,
        "account": account.account,
        "state": account.state.value,
        "reason": account.reason,
        "scopes": sorted(credential.scopes) if credential else [],
        "expires_at": ends.isoformat() if ends else None,
    }
