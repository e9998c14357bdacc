"""Instagram keeps a vendor's promises; a container comes first."""

from __future__ import annotations

import requests

from nexus_actors.sandbox.vendors.instagram import Instagram
from nexus_actors.testing.contracts import VendorContract
from nexus_actors.testing.sandbox import SandboxClient
from web import serving


class TestInstagram(VendorContract):
    adapter = Instagram
    container: str

    def prepare(self, sandbox: SandboxClient) -> None:
        with serving(sea=b"\xff\xd8\xff" + bytes(100)) as host:
            made = self._post(
                f"{sandbox.url}/instagram", "media", image_url=f"{host}/sea"
            )
        self.container = made.json()["id"]
        sandbox.set_clock(60)  # it is processed then

    def act(self, url: str) -> requests.Response:
        return self._post(url, "media_publish", creation_id=self.container)

    def _post(self, url: str, edge: str, **fields: str) -> requests.Response:
        account = Instagram.defaults.accounts[0]
        token = {"access_token": account.access_token}
        path = f"{url}/v25.0/{account.id}/{edge}"
        return requests.post(path, fields | token, timeout=30)
