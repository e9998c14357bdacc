"""Languages come out as players know them."""

from __future__ import annotations

import pytest

from nexus_actors.video.languages import bcp47


@pytest.mark.parametrize(
    ("told", "tag"),
    [
        ("eng", "en"),
        ("ENG", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("pt-BR", "pt-BR"),
        ("en", "en"),
        ("haw", "haw"),
        (None, None),
        ("", None),
        ("x", None),
        ('en"\nX', None),
        ("e" * 36, None),
    ],
)
def test_a_language_becomes_a_tag_or_none(told: str | None, tag: str | None) -> None:
    assert bcp47(told) == tag
