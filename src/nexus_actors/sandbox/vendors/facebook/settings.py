"""How Facebook Pages behave: their numbers."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from nexus_actors.sandbox.vendors.meta.settings import MetaSettings


#: Why a film comes to nothing, and the code that says so.
FAILURES: Final = {
    "file": 6000,
    "format": 352,
    "aspect_ratio": 1363040,
    "resolution": 1363127,
    "duration": 1363128,
    "frame_rate": 1363129,
}
Failure = Literal[
    "file", "format", "aspect_ratio", "resolution", "duration", "frame_rate"
]

#: Why a Page may not publish at all: code, sub-code, and what a person may be told.
RESTRICTIONS: Final = {
    "blocked": (368, 1390008, "You're temporarily blocked from posting."),
    "fast": (613, 1390008, "You're posting too fast."),
    "unauthorized": (200, 1404078, "The Page needs publishing authorization."),
    "identity": (200, 4854002, "Confirm your identity before you can publish."),
}
Restriction = Literal["blocked", "fast", "unauthorized", "identity"]


class FacebookSettings(MetaSettings):
    """How Facebook behaves, below what `MetaSettings` has for all of Meta.

    Attributes:
        outcome: What a film comes to.  A file that is no film fails anyway.
        error_early: Whether an error is told while the film is still processed.
        phase_word: There are two spellings of a phase that is over.
        restriction: Why no page may publish; None is that they may.
        chunk_bytes: The window in which Facebook wants the next bytes of a film.
        video_bytes: The largest film; the commonly used limit is higher.
        photo_bytes: The largest picture.
        reels_per_day: Of one page, within 24 hours.
        schedule_min_s: How soon a post may be scheduled.
        schedule_max_s: How late; another page says 75 days.
        refuses_duplicates: Whether the same text twice in a row is refused.
        page_insights_after_s: How long after its end a day has a Page's figures.
        listed_after_s: How much later than it was made a post is listed.
    """

    outcome: Literal["ready"] | Failure = "ready"
    error_early: bool = False
    phase_word: Literal["complete", "completed"] = "complete"
    restriction: Restriction | None = None
    chunk_bytes: Annotated[int, Field(gt=0)] = 1_048_576
    video_bytes: NonNegativeInt = 2 * 10**9
    photo_bytes: NonNegativeInt = 10 * 10**6
    reels_per_day: NonNegativeInt = 30
    schedule_min_s: NonNegativeFloat = 600
    schedule_max_s: NonNegativeFloat = 2_592_000
    refuses_duplicates: bool = True
    page_insights_after_s: NonNegativeFloat = 0
    listed_after_s: NonNegativeFloat = 0
