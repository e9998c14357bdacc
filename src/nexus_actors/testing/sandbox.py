"""The sandbox as a pytest fixture.

Name the plugin in a ``conftest.py``, and take the fixture::

    pytest_plugins = ["nexus_actors.testing.sandbox"]


    def test_a_lost_answer_is_no_second_message(nexus_sandbox):
        nexus_sandbox.faults({"action": "drop", "moment": "after"})

        send_twice_at_most(nexus_sandbox.url + "/webhook/orders")

        assert len(nexus_sandbox.truth()["webhook"]) == 1

It needs the extra ``web``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests


class SandboxClient:
    """Reads and sets what a running sandbox offers to tests, over HTTP.

    Args:
        url: Its address, as ``nexus-actors sandbox`` prints it.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy of the machine's stands between

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def faults(self, *faults: dict[str, Any]) -> None:
        """Put a new fault script in place of the old; see `nexus_actors.sandbox.Fault`.

        Raises:
            ValueError: A fault makes no sense; says which and why.
        """
        self._call("PUT", "faults", list(faults))

    def fired(self) -> list[list[int]]:
        """Return, for each fault, the numbers of the requests that it disturbed."""
        return [fault["fired"] for fault in self._call("GET", "faults")]

    def truth(self) -> dict[str, list[dict[str, Any]]]:
        """Return what really took effect, by vendor."""
        truth: dict[str, list[dict[str, Any]]] = self._call("GET", "truth")
        return truth

    def posts(self) -> dict[str, list[dict[str, Any]]]:
        """Return the posts as they stand now, by vendor; vendors without are left out.

        See `nexus_actors.sandbox.base.Post`.
        """
        posts: dict[str, list[dict[str, Any]]] = self._call("GET", "posts")
        return posts

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that vendors got."""
        exchanges: list[dict[str, Any]] = self._call("GET", "requests")
        return exchanges

    def settings(self, **vendors: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Change settings of vendors, by name; return all."""
        settings: dict[str, dict[str, Any]] = self._call("PUT", "settings", vendors)
        return settings

    def set_clock(self, offset_s: float) -> None:
        """Let the sandbox's clock differ from the machine's."""
        self._call("PUT", "clock", {"offset_s": offset_s})

    def send_callbacks(self, *, again: bool = False) -> list[dict[str, Any]]:
        """Let the vendors tell the host's server what has happened; return how.

        Each request has the ``vendor``, the ``url``, the ids of the ``events``, and
        the ``status`` that was answered, None if nothing was.

        Args:
            again: Whether all that was ever due is sent, the latest first.
        """
        sent: list[dict[str, Any]] = self._call("POST", "callbacks", {"again": again})
        return sent

    def plant(self, vendor: str, posts: int, *, days: float = 90) -> list[str]:
        """Make posts without media, evenly over the last days; return their ids.

        The oldest is the first.
        """
        order = {"vendor": vendor, "posts": posts, "days": days}
        ids: list[str] = self._call("POST", "growth", order)
        return ids

    def growth(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Return by vendor what was put into its figures on purpose.

        That is the ``unusual`` days of accounts, and the ``falls`` of posts, as far as
        the settings have any.
        """
        truth: dict[str, dict[str, list[dict[str, Any]]]] = self._call("GET", "growth")
        return truth

    def reset(self) -> None:
        """Forget all: requests, truth, faults, settings, clock."""
        self._call("POST", "reset")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.url}/_sandbox/{path}"
        answer = self._session.request(method, url, json=body, timeout=30)
        if answer.status_code == requests.codes.bad_request:
            raise ValueError(answer.json()["error"])
        answer.raise_for_status()
        return answer.json() if answer.content else None


@pytest.fixture(scope="session")
def nexus_sandbox_server() -> Iterator[SandboxClient]:
    """One running sandbox for the whole session."""
    from nexus_actors.sandbox import Sandbox, running

    with running(Sandbox()) as url:
        client = SandboxClient(url)
        yield client
        client.close()


@pytest.fixture
def nexus_sandbox(nexus_sandbox_server: SandboxClient) -> SandboxClient:
    """A running sandbox in which nothing has happened yet."""
    nexus_sandbox_server.reset()
    return nexus_sandbox_server
