"""Languages come out as players know them."""

from __future__ import annotations

import pytest

from nexus_actors.video.languages import ISO_639_1, NAMES, bcp47, name_of


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


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("eng", "English"),
        ("ger", "Deutsch"),
        ("de", "Deutsch"),
        ("pt-BR", "Português (BR)"),
        ("haw", "haw"),
        ("und", "und"),
        ('e"n', None),
        (None, None),
    ],
)
def test_a_language_is_called_what_its_speakers_call_it(
    told: str | None, name: str | None
) -> None:
    assert name_of(told) == name


def test_every_language_that_is_known_has_a_name() -> None:
    assert set(NAMES) == set(ISO_639_1.values())
