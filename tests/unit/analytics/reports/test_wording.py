"""What a report advises says on how much it rests, and how sure it is."""

from __future__ import annotations

from typing import Any

from nexus_actors.analytics.reports import wording


def insight() -> dict[str, Any]:
    return {
        "kind": "format_comparison",
        "statement": {
            "key": "format_better",
            "args": {"a": "reels", "b": "feed", "ratio": 1.38},
        },
        "evidence": {
            "n": {"reels": 24, "feed": 31},
            "effect": 1.38,
            "ci": [1.09, 1.75],
            "days": 90,
        },
        "recommendation": {"key": "shift_mix", "confidence": "strong"},
    }


def test_advice_comes_with_its_size_its_interval_and_the_posts_it_rests_on() -> None:
    section = {"insights": [insight()], "anomalies": [], "thin": []}

    [line] = wording.to_do(section)

    assert line.replace("\N{NO-BREAK SPACE}", " ") == (
        "Make more reels, and fewer feed posts (+38 % views, 90 % interval +9.0 % to "
        "+75 %; strong evidence: 24 reels and 31 feed posts, in 90 days)."
    )


def test_one_post_is_one_post() -> None:
    one = {"key": "one_format", "kinds": ["video"], "have": 1, "need": 5}

    assert wording.thin(one) == "Formats: there are only videos to compare, 1 post."
