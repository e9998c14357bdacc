from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_actors.notifications.text import (
    clean,
    duration,
    gsm,
    one_line,
    segments,
    shorten,
)


@pytest.mark.parametrize(
    ("text", "encoding", "units", "count"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        # two septets that would begin in the first and end in the second
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3),
        ("ж" * 70, "UCS-2", 70, 1),
        ("ж" * 71, "UCS-2", 71, 2),
        ("ж" * 134, "UCS-2", 134, 2),
        ("ж" * 66 + "😀" + "ж" * 66, "UCS-2", 134, 3),
        ("`", "UCS-2", 1, 1),
        ("ç", "UCS-2", 1, 1),
    ],
)
def test_segments_are_counted_as_phones_do(
    text: str, encoding: str, units: int, count: int
) -> None:
    found = segments(text)

    assert (found.encoding, found.units, found.count) == (encoding, units, count)


def test_what_looks_alike_is_exchanged_only_where_that_is_enough() -> None:
    assert gsm("“It\u2019s” \u2013 ready…\u00a0ok") == '"It\'s" - ready... ok'
    assert gsm("“жук”") == "“жук”"


def test_characters_are_counted_as_people_see_them() -> None:
    family, flag = "👩‍👩‍👧‍👦", "🇩🇪"

    assert shorten(family * 3, 3) == family * 3
    assert shorten(family * 4, 3) == family * 2 + "…"
    assert shorten(flag * 4, 3) == flag * 2 + "…"
    assert shorten("e\u0301" * 4, 3) == "e\u0301" * 2 + "…"
    assert shorten("a  b\r\nc", 9) == "a b c"


@given(st.text(), st.integers(2, 30))
def test_what_is_shortened_is_clean_and_short(text: str, most: int) -> None:
    found = shorten(text, most)

    assert found == one_line(found)
    assert clean(found) == found
    assert len(found) <= 32 * most


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00"), (205, "3:25"), (3723.4, "1:02:03")]
)
def test_a_duration_is_told_as_players_do(seconds: float, told: str) -> None:
    assert duration(seconds) == told
