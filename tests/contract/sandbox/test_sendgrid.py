from __future__ import annotations

import requests

from nexus_actors.sandbox.vendors.sendgrid import SendGrid
from nexus_actors.testing.contracts import VendorContract


class TestSendGrid(VendorContract):
    adapter = SendGrid

    def act(self, url: str) -> requests.Response:
        mail = {
            "personalizations": [{"to": [{"email": "ann@example.com"}]}],
            "from": {"email": "us@example.com"},
            "subject": "Welcome",
            "content": [{"type": "text/plain", "value": "Hello"}],
        }
        headers = {"Authorization": "Bearer SG.sandbox.sandbox"}
        return requests.post(
            f"{url}/v3/mail/send", json=mail, headers=headers, timeout=30
        )
