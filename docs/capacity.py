"""Works out the tables of explanation/capacity.md from its inputs.

``python docs/capacity.py`` writes them into the page; with figures of your own, as
``python docs/capacity.py uploads=500 film_min=12``, it prints them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints


PAGE: Final = Path(__file__).parent / "explanation" / "capacity.md"

HOUR_S: Final = 3600
DAY_H: Final = 24
MONTH_H: Final = 730
KB, MB, GB = 1e3, 1e6, 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What comes in, and what it costs; each with its meaning and where it is from."""

    uploads: Annotated[float, "uploads an hour", "yours"] = 1000
    film_min: Annotated[float, "minutes of film in an upload", "yours"] = 2
    source_mb_min: Annotated[float, "MB of source for a minute", "yours"] = 60
    posts: Annotated[float, "posts of an upload, on all platforms", "yours"] = 2
    mails: Annotated[float, "notifications of an upload", "yours"] = 2
    busy: Annotated[float, "share of a processor that may be used", "yours"] = 0.7
    record_h: Annotated[
        float, "hours that a finished job can be looked up", "`NEXUS_JOB_TTL_S`"
    ] = 168
    encode_s_min: Annotated[
        float,
        "processor seconds for a minute of 1080p at 24 frames/s: HLS and DASH, default "
        "ladder, thumbnails",
        "measured: below",
    ] = 83
    output_mb_min: Annotated[
        float, "MB stored for that minute", "measured: the same run"
    ] = 51
    job_ms: Annotated[
        float,
        "processor milliseconds of a worker for a job that does nothing",
        "measured: [throughput](throughput.md), 3400 jobs/s in a process",
    ] = 0.29
    post_ms: Annotated[
        float, "of a post, beside the transfer of its file", "measured: below"
    ] = 100
    mail_ms: Annotated[
        float, "of a mail, from `.send()` to the provider's answer", "measured: below"
    ] = 7
    waiting_kb: Annotated[
        float, "kB of Redis for a video that waits, with its record", "measured: below"
    ] = 1.4
    done_kb: Annotated[
        float, "kB of Redis for a finished video's record", "measured: below"
    ] = 5.2
    small_kb: Annotated[
        float, "for a finished post's or notification's", "measured: below"
    ] = 1.3
    post_row_kb: Annotated[
        float, "kB of PostgreSQL for a publication, its indexes too", "measured: below"
    ] = 1.6
    mail_row_kb: Annotated[float, "for an entry of the ledger", "measured: below"] = (
        0.64
    )
    figures_kb: Annotated[
        float,
        "kB for the figures of a post in its first year: 30 snapshots, 365 days",
        "[rollups](rollups.md): 43 and 30 bytes in SQLite",
    ] = 12.2


Cell = Callable[[Load], str]


def cores(load: Load) -> float:
    """Return how many cores encode."""
    return load.uploads * load.film_min * load.encode_s_min / HOUR_S / load.busy


def others(load: Load) -> float:
    """Return how many cores post, notify and keep the queue."""
    ms = (
        load.posts * load.post_ms + load.mails * load.mail_ms + jobs(load) * load.job_ms
    )
    return load.uploads * ms / 1000 / HOUR_S / load.busy


def jobs(load: Load) -> float:
    """Return how many jobs an upload makes."""
    return 1 + load.posts + load.mails


def redis_gb(load: Load) -> float:
    """Return what Redis holds: an hour's uploads that wait, and the finished jobs."""
    small = (load.posts + load.mails) * load.small_kb
    kept = load.record_h * (load.done_kb + small)
    return load.uploads * (load.waiting_kb + kept) * KB / GB


def database_gb(load: Load) -> float:
    """Return by how much the database grows in a month."""
    post = load.posts * (load.post_row_kb + load.figures_kb)
    return load.uploads * MONTH_H * (post + load.mails * load.mail_row_kb) * KB / GB


def storage_tb(load: Load) -> float:
    """Return by how much the bucket grows in a month, the sources kept."""
    mb = load.film_min * (load.source_mb_min + load.output_mb_min)
    return load.uploads * MONTH_H * mb * MB / GB / 1000


def rows() -> Iterable[tuple[str, Cell]]:
    """Yield what is worked out of a load."""
    yield "cores that encode", lambda load: number(cores(load))
    yield (
        "workers of 8 cores, 2 videos at once each",
        lambda load: number(max(1, -(-cores(load) // 8))),
    )
    yield "cores for all else", lambda load: number(others(load))
    yield (
        "jobs a second through Redis",
        lambda load: number(load.uploads * jobs(load) / HOUR_S),
    )
    yield "Redis, GB", lambda load: number(redis_gb(load))
    yield (
        "Redis with `NEXUS_JOB_TTL_S=3600`, GB",
        lambda load: number(redis_gb(replace(load, record_h=1))),
    )
    yield "database, GB a month", lambda load: number(database_gb(load))
    yield "bucket, TB a month", lambda load: number(storage_tb(load))
    yield (
        "into the bucket, Mbit/s",
        lambda load: number(
            load.uploads * load.film_min * load.output_mb_min * 8 / HOUR_S
        ),
    )
    yield (
        "YouTube uploads that 100 a day allow, %",
        lambda load: number(100 / (load.uploads * DAY_H) * 100),
    )


def number(value: float) -> str:
    """Return *value* to two digits that count."""
    if value >= 100:  # noqa: PLR2004 - three digits and more are whole
        digits = len(str(round(value))) - 2
        return f"{round(value, -digits):,.0f}"
    return f"{value:.2g}"


def inputs_table(load: Load) -> str:
    """Return what the page reckons with."""
    told = get_type_hints(Load, include_extras=True)
    lines = ["| name | value | what | from |", "| --- | --- | --- | --- |"]
    for name in (field.name for field in fields(load)):
        what, source = told[name].__metadata__
        lines.append(f"| `{name}` | {getattr(load, name):g} | {what} | {source} |")
    return "\n".join(lines)


def results_table(loads: Iterable[Load]) -> str:
    """Return what follows for each load."""
    found = list(loads)
    heads = " | ".join(f"{load.uploads:,.0f} an hour" for load in found)
    lines = [f"| | {heads} |", "| --- |" + " --- |" * len(found)]
    lines += [
        f"| {name} | {' | '.join(cell(load) for load in found)} |"
        for name, cell in rows()
    ]
    return "\n".join(lines)


SIZES: Final = (10, 1_000, 100_000)


def written(text: str) -> str:
    """Return the page with its tables as they follow from the inputs."""
    tables = {
        "inputs": inputs_table(Load()),
        "results": results_table(Load(uploads=size) for size in SIZES),
    }

    def table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}"

    return re.sub(r"(?ms)^(% begin (\w+)\n).*?^(% end)$", table, text)


def main(words: list[str]) -> None:
    """Write the page, or print what follows from what *words* say."""
    if not words:
        PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
        return
    given: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        given[name] = float(value)
    print(results_table([Load(**given)]))  # noqa: T201 - a command


if __name__ == "__main__":
    main(sys.argv[1:])
