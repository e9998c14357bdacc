"""The sandbox's vendors keep the promises; the contract finds out who does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest
import requests

from nexus_actors.sandbox.vendors.webhook import DEFAULT_SECRET, WebhookReceiver
from nexus_actors.testing.contracts import VendorContract


class TestWebhookReceiver(VendorContract):
    adapter = WebhookReceiver

    def act(self, url: str) -> requests.Response:
        id_, body = "order-7", b'{"order": 7}'
        now = str(int(time.time()))
        key = base64.b64decode(DEFAULT_SECRET.removeprefix("whsec_"))
        content = f"{id_}.{now}.".encode() + body
        signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
        headers = {
            "webhook-id": id_,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{signature}",
        }
        return requests.post(f"{url}/orders", body, headers=headers, timeout=30)


#: What a vendor does wrong, and the promise that it breaks.
FAULTY = {
    "self.effect(request); await request.body()": (
        "a_request_that_does_not_arrive_whole_has_no_effect"
    ),
    "seen.append(await request.body()); len(seen) > 1 or self.effect(request)": (
        "a_reset_forgets_all"
    ),
    "await request.body()": "what_it_was_asked_takes_effect_once",
    "await request.body(); self.effect(request); self.effect(request)": (
        "what_it_was_asked_takes_effect_once"
    ),
}


@pytest.mark.parametrize("body", FAULTY)
def test_a_faulty_vendor_fails_the_promise_that_it_breaks(
    body: str, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        f"""
        import requests
        from starlette.responses import Response
        from starlette.routing import Route

        from nexus_actors.sandbox.base import Settings, Vendor
        from nexus_actors.testing.contracts import VendorContract

        seen = []

        class Mail(Vendor):
            name = "mail"
            defaults = Settings()

            def routes(self):
                return [Route("/send", self.send, methods=["POST"])]

            def effect(self, request):
                self.took_effect("mail", "1", request)

            async def send(self, request):
                {body}
                return Response()

        class TestMail(VendorContract):
            adapter = Mail

            def act(self, url):
                return requests.post(url + "/send", b"text", timeout=30)
        """
    )

    result = pytester.runpytest_inprocess("-k", FAULTY[body])

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"FAILED *::TestMail::test_{FAULTY[body]}*"])
