"""The promises of a sandbox's `Vendor`; needs the extra ``web``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import requests

from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.base import Vendor
from nexus_actors.testing.sandbox import SandboxClient


class VendorContract:
    """Inherit, name the vendor, and write one request that it accepts."""

    adapter: ClassVar[type[Vendor[Any]]]

    def act(self, url: str) -> requests.Response:
        """Send one request to the vendor at *url* that takes effect, once."""
        raise NotImplementedError("define `act`, which sends a request and returns")

    def prepare(self, sandbox: SandboxClient) -> None:
        """Do what must come before `act` and has no effect; by default, nothing."""

    @pytest.fixture
    def sandbox(self) -> Iterator[SandboxClient]:
        """A sandbox with this vendor alone, in which nothing took effect yet."""
        with running(Sandbox(vendors=[self.adapter])) as url:
            client = SandboxClient(url)
            self.prepare(client)
            yield client
            client.close()

    def _act(self, sandbox: SandboxClient) -> requests.Response:
        return self.act(f"{sandbox.url}/{self.adapter.name}")

    def _effects(self, sandbox: SandboxClient) -> list[dict[str, Any]]:
        return sandbox.truth()[self.adapter.name]

    def test_its_name_can_stand_in_a_path(self) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", self.adapter.name)

    def test_what_it_was_asked_takes_effect_once(self, sandbox: SandboxClient) -> None:
        before = len(sandbox.requests())
        assert self._act(sandbox).ok

        [effect] = self._effects(sandbox)
        assert effect["kind"]
        assert effect["request"] == before + 1
        assert len(sandbox.requests()) == before + 1

    def test_a_request_that_is_refused_has_no_effect(
        self, sandbox: SandboxClient
    ) -> None:
        url = f"{sandbox.url}/{self.adapter.name}/there/is/no/such/path"

        answer = requests.post(url, data=b"{}", timeout=30)

        assert not answer.ok
        assert self._effects(sandbox) == []

    @pytest.mark.parametrize("moment", ["before", "during"])
    def test_a_request_that_does_not_arrive_whole_has_no_effect(
        self, sandbox: SandboxClient, moment: str
    ) -> None:
        sandbox.faults({"action": "drop", "moment": moment})

        with pytest.raises(requests.ConnectionError):
            self._act(sandbox)

        assert self._effects(sandbox) == []
        assert sandbox.fired() == [[len(sandbox.requests())]]

    def test_a_request_whose_answer_is_lost_has_its_effect(
        self, sandbox: SandboxClient
    ) -> None:
        sandbox.faults({"action": "drop", "moment": "after"})

        with pytest.raises(requests.ConnectionError):
            self._act(sandbox)

        assert len(self._effects(sandbox)) == 1

    def test_what_failed_can_be_asked_again(self, sandbox: SandboxClient) -> None:
        sandbox.faults({"action": "answer", "status": 503})

        failed, done = self._act(sandbox), self._act(sandbox)

        assert (failed.status_code, done.ok) == (503, True)
        assert len(self._effects(sandbox)) == 1

    def test_a_reset_forgets_all(self, sandbox: SandboxClient) -> None:
        before = self._act(sandbox)
        sandbox.reset()
        nothing = self._effects(sandbox)
        self.prepare(sandbox)
        after = self._act(sandbox)

        assert nothing == []
        assert (after.status_code, len(self._effects(sandbox))) == (
            before.status_code,
            1,
        )

    def test_every_setting_has_a_default_and_others_are_refused(
        self, sandbox: SandboxClient
    ) -> None:
        name = self.adapter.name
        defaults = type(self.adapter.defaults)()

        assert sandbox.settings()[name] == defaults.model_dump(mode="json")
        with pytest.raises(ValueError, match="no_such_setting"):
            sandbox.settings(**{name: {"no_such_setting": 1}})
