"""The parts of a URL; which URLs have but one reading is shown in `test_guard`."""

from __future__ import annotations

import pytest

from nexus_actors.core.urls import WebUrl


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("https://example.com", "https://example.com:443/"),
        ("HTTPS://Example.COM./A?b=c", "https://example.com:443/A?b=c"),
        ("http://example.com:8080?x", "http://example.com:8080?x"),
        ("https://[2001:DB8::1]/a", "https://[2001:db8::1]:443/a"),
        ("https://Bücher.example/%20", "https://xn--bcher-kva.example:443/%20"),
    ],
)
def test_a_url_has_one_form(text: str, form: str) -> None:
    assert str(WebUrl.parse(text)) == form


def test_what_is_shown_of_a_url_is_its_host() -> None:
    url = WebUrl.parse("https://example.com/s3cret?token=s3cret")

    assert repr(url) == "<WebUrl example.com>"
