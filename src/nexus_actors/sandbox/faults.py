"""The fault script: which requests are disturbed, when, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)


#: Relative to the moment at which the request takes effect at the vendor.
Moment = Literal["before", "during", "after"]

#: The actions, and the moments at which each makes sense; the first is the default.
MOMENTS: Final[dict[str, tuple[Moment, ...]]] = {
    "answer": ("before", "during", "after"),
    "drop": ("before", "during", "after"),
    "hang": ("before", "during", "after"),
    "wait": ("before", "after"),
    "advance": ("before", "after"),
    "corrupt": ("after",),
    "cut": ("after",),
    "drip": ("after",),
}

#: The actions that take a number of seconds.
TIMED: Final = {"wait", "advance", "drip"}


class Fault(BaseModel):
    """Disturbs some requests.

    Attributes:
        action: What happens.

            - ``answer``: *status*, *headers* and *body* in place of the vendor's answer
            - ``drop``: the connection is closed without an answer
            - ``hang``: no answer, until the client gives up: a time-out
            - ``wait``: everything as usual, but *seconds* later
            - ``advance``: the sandbox's clock jumps ahead by *seconds*, so that tokens
              and links are expired from then on
            - ``corrupt``: the first half of the vendor's answer, as if it were whole
            - ``cut``: the first half of the vendor's answer, then the connection is
              closed
            - ``drip``: the vendor's answer byte by byte, over *seconds*
        moment: ``before``: the request has no effect.  ``during``: half of its body
            arrives, and most routes then do nothing; an upload keeps that half.
            ``after``: it has its effect, and only the answer suffers.
        route: Method and path, with wildcards: ``POST /webhook/*``.
        nth: The first request that suffers, of those that match, counted from 1.
        times: How many in a row from there; ``None`` is all of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal[
        "answer", "drop", "hang", "wait", "advance", "corrupt", "cut", "drip"
    ]
    moment: Moment = "before"
    route: str = "*"
    nth: PositiveInt = 1
    times: PositiveInt | None = 1
    status: Annotated[int, Field(ge=200, le=599)] = 500
    headers: dict[str, str] = {}
    body: Any = None
    seconds: NonNegativeFloat = 0

    @model_validator(mode="before")
    @classmethod
    def _default_moment(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("action") in MOMENTS:
            return {"moment": MOMENTS[values["action"]][0], **values}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        moments = MOMENTS[self.action]
        if self.moment not in moments:
            raise ValueError(f"{self.action} goes with {' or '.join(moments)} only")
        if (self.action in TIMED) != (self.seconds > 0):
            verb = "needs" if self.action in TIMED else "takes no"
            raise ValueError(f"{self.action} {verb} seconds")
        return self

    @property
    def replaces_the_vendor(self) -> bool:
        """Whether the vendor never sees the request."""
        return self.moment == "before" and self.action in {"answer", "drop", "hang"}

    def matches(self, method: str, path: str) -> bool:
        """Tell whether *route* names the request."""
        return fnmatchcase(f"{method} {path}", self.route)


FAULTS: Final = TypeAdapter(list[Fault])


def read_faults(path: Path) -> list[Fault]:
    """Read a script from a file: a JSON list of faults.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no list of faults; says why in one line.
    """
    try:
        return FAULTS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(explain(error)) from error


def explain(error: ValidationError) -> str:
    """Return in one line what is wrong, and where."""
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        place = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{place}: {text}" if place else text)
    return "; ".join(problems)


@dataclass(slots=True)
class Scripted:
    """A fault of the script, and what has become of it."""

    fault: Fault
    seen: int = 0
    fired: list[int] = field(default_factory=list)

    def next_fires(self) -> bool:
        """Count a matching request; tell whether it is one that suffers."""
        self.seen += 1
        first, times = self.fault.nth, self.fault.times
        return self.seen >= first and (times is None or self.seen < first + times)


class FaultScript:
    """The faults in force; of several that meet one request, the first acts."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.entries = [Scripted(fault) for fault in faults]

    def meet(self, method: str, path: str) -> Scripted | None:
        """Count the request at every fault that matches; return the one that acts."""
        matching = [e for e in self.entries if e.fault.matches(method, path)]
        firing = [entry for entry in matching if entry.next_fires()]
        return firing[0] if firing else None
