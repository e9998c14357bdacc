from __future__ import annotations

import requests

from nexus_actors.sandbox.vendors.twilio import Twilio
from nexus_actors.testing.contracts import VendorContract


class TestTwilio(VendorContract):
    adapter = Twilio

    def act(self, url: str) -> requests.Response:
        account = "AC" + "1".zfill(32)
        form = {"To": "+14155550123", "From": "+15005550006", "Body": "Hello"}
        return requests.post(
            f"{url}/2010-04-01/Accounts/{account}/Messages.json",
            form,
            auth=(account, "2".zfill(32)),
            timeout=30,
        )
