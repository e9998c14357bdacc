"""Facebook keeps a vendor's promises."""

from __future__ import annotations

import requests

from nexus_actors.sandbox.vendors.facebook import Facebook
from nexus_actors.testing.contracts import VendorContract


class TestFacebook(VendorContract):
    adapter = Facebook

    def act(self, url: str) -> requests.Response:
        page = Facebook.defaults.pages[0]
        return requests.post(
            f"{url}/v25.0/{page.id}/feed",
            {"message": "Hello", "access_token": page.access_token},
            timeout=30,
        )
