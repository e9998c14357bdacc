from __future__ import annotations

import requests

from nexus_actors.sandbox.vendors.fcm import Fcm
from nexus_actors.testing.contracts import VendorContract


class TestFcm(VendorContract):
    adapter = Fcm

    def act(self, url: str) -> requests.Response:
        return requests.post(
            f"{url}/v1/projects/nexus-sandbox/messages:send",
            json={"message": {"fid": "f1", "notification": {"title": "Ready"}}},
            headers={"Authorization": "Bearer ya29.sandbox"},
            timeout=30,
        )
