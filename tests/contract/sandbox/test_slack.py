from __future__ import annotations

import requests

from nexus_actors.sandbox.vendors.slack import Slack
from nexus_actors.testing.contracts import VendorContract


class TestSlack(VendorContract):
    adapter = Slack

    def act(self, url: str) -> requests.Response:
        return requests.post(
            f"{url}/api/chat.postMessage",
            json={"channel": "#videos", "text": "Hello"},
            headers={"Authorization": "Bearer xoxb-sandbox"},
            timeout=30,
        )
