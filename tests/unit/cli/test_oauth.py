"""What takes the browser back that has connected an account."""

from __future__ import annotations

import socket

import pytest

from nexus_actors import ConfigurationError
from nexus_actors.cli.oauth import _Receiver


def test_a_connection_that_a_browser_does_not_use_holds_up_nobody() -> None:
    with _Receiver(0) as receiver:
        address = ("127.0.0.1", receiver.server_port)
        with socket.create_connection(address), socket.create_connection(address) as it:
            it.sendall(b"GET /callback?code=1 HTTP/1.0\r\n\r\n")

            assert receiver.wait(30) == "/callback?code=1"


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with (
        _Receiver(0) as other,
        pytest.raises(ConfigurationError, match="another --port"),
    ):
        _Receiver(other.server_port)
