"""What follows from the figures: at most five statements, each with its evidence.

A statement is a key and numbers; where the evidence is thin there is none, and what is
missing for one is said instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .comparisons import (
    BLOCK_H,
    CELL_POSTS,
    CELL_WEEKS,
    FORMAT_POSTS,
    LEVEL,
    TIME_POSTS,
    Comparison,
    Effect,
    adjusted,
)
from .gathering import COMPARED_DAYS, Material


#: How many are told.
MOST: Final = 5

#: How many of so many statements that chance alone would make are let through.
FALSE_SHARE: Final = 0.1

#: Evidence that is called strong; else it is fair.
STRONG: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What may be said, if the tests let it."""

    kind: str
    key: str
    args: dict[str, Any]
    advice: str
    effect: Effect
    p: float
    n: dict[str, int]


def insights(material: Material, comparison: Comparison) -> dict[str, Any]:
    """Return what may be said, how much was tested, and what is missing for more."""
    candidates = candidates_of(comparison)
    return {
        "insights": told_of(candidates),
        "tested": len(candidates),
        "thin": _thin(material, comparison),
    }


def candidates_of(comparison: Comparison) -> list[Candidate]:
    """Return all that is tested."""
    return [*_formats(comparison), *_times(comparison)]


def told_of(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Return those whose evidence stands although so many were looked at."""
    chances = adjusted([one.p for one in candidates]) if candidates else []
    told = [
        _insight(one, p)
        for one, p in zip(candidates, chances, strict=True)
        if p <= FALSE_SHARE and one.effect.low > 1
    ]
    told.sort(key=lambda one: (-one["weight"], one["id"]))
    return told[:MOST]


def _formats(comparison: Comparison) -> Iterator[Candidate]:
    if comparison.best is None or comparison.best.p is None:
        return
    first, second = comparison.formats[:2]
    yield Candidate(
        kind="format_comparison",
        key="format_better",
        args={"a": first.format, "b": second.format, "ratio": comparison.best.ratio},
        advice="shift_mix",
        effect=comparison.best,
        # the better one was chosen after a look
        p=min(1.0, 2 * comparison.best.p),
        n={first.format: first.effect.n, second.format: second.effect.n},
    )


def _times(comparison: Comparison) -> Iterator[Candidate]:
    if comparison.n < TIME_POSTS:
        return
    for cell in comparison.cells:
        enough = cell.effect.n >= CELL_POSTS and cell.weeks >= CELL_WEEKS
        if enough and cell.effect.p is not None:
            yield Candidate(
                kind="best_time",
                key="time_better",
                args={
                    "weekday": cell.weekday,
                    "hour": cell.hour,
                    "until": cell.hour + BLOCK_H,
                    "ratio": cell.effect.ratio,
                },
                advice="post_at",
                effect=cell.effect,
                p=cell.effect.p,
                n={"at_that_time": cell.effect.n, "all": comparison.n},
            )


def _insight(one: Candidate, p: float) -> dict[str, Any]:
    names = "_".join(str(value) for value in list(one.args.values())[:2])
    effect = one.effect
    return {
        "id": f"{one.key}.{names}.views7d",
        "kind": one.kind,
        "metric": "views",
        "age": "7d",
        "statement": {"key": one.key, "args": one.args},
        "evidence": {
            "n": one.n,
            "effect": effect.ratio,
            "ci": [effect.low, effect.high],
            "level": LEVEL,
            "method": "log-ridge, bootstrap over posts",
            "p_adj": p,
            "days": COMPARED_DAYS,
        },
        "recommendation": {
            "key": one.advice,
            "confidence": "strong" if p <= STRONG else "fair",
        },
        "weight": (effect.ratio - 1) * effect.n * (1 - p),
    }


def _thin(material: Material, comparison: Comparison) -> list[dict[str, Any]]:
    """Return of what nothing is said, and how many posts are missing for it."""
    found: list[dict[str, Any]] = []
    have = comparison.n
    if len(comparison.formats) < 2:  # noqa: PLR2004 - two are compared
        kinds = sorted({sample.format for sample in material.samples})
        key = "formats" if len(kinds) != 1 else "one_format"
        found.append({"key": key, "have": have, "kinds": kinds, "need": FORMAT_POSTS})
    if have < TIME_POSTS:
        missing = TIME_POSTS - have
        found.append(
            {"key": "times", "have": have, "missing": missing, "need": TIME_POSTS}
        )
    elif not any(c.effect.n >= CELL_POSTS for c in comparison.cells):
        found.append({"key": "scattered", "have": have, "need": CELL_POSTS})
    return found
