"""Charts as inline SVG, without script or style attribute, each with a text of its own.

Colours stand as attributes, as on paper; a page's style sheet may set others by the
classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import ceil, floor, log10
from typing import Any, Final

from markupsafe import Markup

from .comparisons import BLOCK_H, BLOCKS, CELL_POSTS, WEEKDAYS
from .terms import WEEKDAYS as NAMES
from .terms import number, times


WIDTH: Final = 360
HEIGHT: Final = 168
LEFT: Final = 42
RIGHT: Final = 8
TOP: Final = 10
BOTTOM: Final = 24

#: How many marks an axis has at most.
MARKS: Final = 4
LABELS: Final = 7
#: From a label's middle to its end.
HALF_LABEL: Final = 17

#: The colours of paper, by class.
INK: Final = {
    "now": "#2f5bd7",
    "open": "#9db4ef",
    "before": "#6b7385",
    "grid": "#dfe3ea",
    "label": "#535c6e",
    "mark": "#b3261e",
}


def _form(form: str, *values: object) -> Markup:
    """Fill in a form of ours; what is filled in is escaped."""
    return Markup(form).format(*values)  # noqa: S704 - ours


def views(
    series: Sequence[Mapping[str, Any]], marked: Sequence[str], name: str
) -> Markup:
    """Return views by day as bars, those of the period before as a line.

    Args:
        series: A row for each day.
        marked: Days with an anomaly.
        name: What a reader who does not see it is told.
    """
    known = [
        row[n] for row in series for n in ("views", "before") if row[n] is not None
    ]
    if not known or not series:
        return Markup()
    marks = _marks(max(known))
    top = marks[-1] or 1
    step = (WIDTH - LEFT - RIGHT) / len(series)
    parts = [_axis(marks, top), _days([row["day"] for row in series], step)]
    for at, row in enumerate(series):
        if row["views"] is not None:
            parts.append(_bar(row, at, step, top))
            if row["day"] in marked:
                y = max(_y(row["views"], top) - 6, 5)
                parts.append(_mark(LEFT + (at + 0.5) * step, y))
    parts.append(_line([row["before"] for row in series], step, top))
    return _svg(parts, name, HEIGHT)


def _bar(row: Mapping[str, Any], at: int, step: float, top: float) -> Markup:
    form = (
        '<rect class="{0}" x="{1:.1f}" y="{2:.1f}" width="{3:.1f}" height="{4:.1f}" '
        'fill="{5}"><title>{6}: {7} views</title></rect>'
    )
    y, wide = _y(row["views"], top), max(step * 0.68, 0.6)
    style = "now" if row["final"] else "open"
    return _form(
        form,
        *(style, LEFT + at * step + (step - wide) / 2, y, wide),
        *(max(HEIGHT - BOTTOM - y, 0.5), INK[style], row["day"], number(row["views"])),
    )


def _mark(x: float, y: float) -> Markup:
    form = '<circle class="mark" cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>'
    return _form(form, x, y, INK["mark"])


def _line(values: Sequence[float | None], step: float, top: float) -> Markup:
    """Return a dashed line, broken where nothing is known."""
    path, pen = [], "M"
    for at, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{LEFT + (at + 0.5) * step:.1f} {_y(value, top):.1f}")
        pen = "L"
    line = (
        '<path class="before" d="{}" fill="none" stroke="{}" stroke-width="1.6" '
        'stroke-dasharray="4 3" stroke-linejoin="round"/>'
    )
    return _form(line, " ".join(path), INK["before"]) if path else Markup()


def followers(series: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """Return the level of followers by day; its axis does not begin with 0."""
    levels = [(at, row["followers"]) for at, row in enumerate(series)]
    known = [(at, level) for at, level in levels if level is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return Markup()
    low, high = min(v for _, v in known), max(v for _, v in known)
    marks = _between(low, high)
    base, top = marks[0], marks[-1]
    step = (WIDTH - LEFT - RIGHT) / len(series)
    points = [
        f"{LEFT + (at + 0.5) * step:.1f} {_y(level - base, top - base):.1f}"
        for at, level in known
    ]
    line = (
        '<polyline class="line" points="{}" fill="none" stroke="{}" stroke-width="2" '
        'stroke-linejoin="round"/>'
    )
    drawn = _form(line, " ".join(points), INK["now"])
    axis = _axis(marks, top - base, base)
    days = _days([row["day"] for row in series], step)
    return _svg([axis, days, drawn], name, HEIGHT)


def intervals(rows: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """Return formats beside one another: what each gets of the average, how surely."""
    height = 40 * len(rows) + 20
    edges = [edge for row in rows for edge in row["interval"]]
    reach = max(*(abs(log10(edge)) for edge in edges), 0.1)
    middle, half = WIDTH / 2, WIDTH / 2 - 10

    def x(ratio: float) -> float:
        return middle + log10(ratio) / reach * half

    rule = (
        '<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="14" y2="{1}" stroke="{2}"/>'
        '<text class="label" x="{0:.1f}" y="{3}" text-anchor="middle" font-size="10.5" '
        'fill="{4}">the average post</text>'
    )
    form = (
        '<text class="label" x="0" y="{0}" font-size="11" fill="{1}">{2}</text>'
        '<line class="now-line" x1="{3:.1f}" x2="{4:.1f}" y1="{5}" y2="{5}" '
        'stroke="{6}" stroke-width="2" stroke-linecap="round"/>'
        '<circle class="now" cx="{7:.1f}" cy="{5}" r="4.5" fill="{6}"/>'
    )
    parts = [_form(rule, middle, height - 16, INK["grid"], height - 3, INK["label"])]
    for at, row in enumerate(rows):
        y = 24 + 40 * at
        low, high = row["interval"]
        text = f"{row['label'].capitalize()}: {times(row['ratio'])}"
        drawn = (x(low), x(high), y, INK["now"], x(row["ratio"]))
        parts.append(_form(form, y - 11, INK["label"], text, *drawn))
    return _svg(parts, name, height)


def week(cells: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """Return weekdays by blocks of hours: darker is better, thin ones are hollow."""
    by_place = {(c["weekday"], c["hour"] // BLOCK_H): c for c in cells}
    wide, tall, left, top = 38.5, 21.0, 34, 18
    parts = []
    for block in range(BLOCKS):
        x = left + (block + 0.5) * wide
        parts.append(_text(x, 11, f"{block * BLOCK_H:02d}-{(block + 1) * BLOCK_H:02d}"))
    for weekday in range(WEEKDAYS):
        y = top + weekday * tall
        parts.append(_text(0, y + 14, NAMES[weekday][:3], anchor="start"))
        for block in range(BLOCKS):
            x = left + block * wide
            cell = by_place.get((weekday, block))
            parts.append(_cell(cell, (x, y, wide - 2, tall - 2), NAMES[weekday]))
    height = round(top + WEEKDAYS * tall + 2)
    return _svg(parts, name, height, width=round(left + BLOCKS * wide))


#: The shades of the week, from worse to better than average: edges, classes, colours.
SHADES: Final = (
    (0.8, "s0", "#f3d9b1", "#1c2230"),
    (0.95, "s1", "#f8ecd6", "#1c2230"),
    (1.05, "s2", "#eceff5", "#1c2230"),
    (1.25, "s3", "#c3d1f6", "#1c2230"),
    (1.6, "s4", "#7d9aeb", "#0b1330"),
    (float("inf"), "s5", "#2f5bd7", "#ffffff"),
)


def _cell(
    cell: Mapping[str, Any] | None, place: tuple[float, float, float, float], day: str
) -> Markup:
    x, y, w, h = place
    box = (
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="3" '
        'fill="{}" stroke="{}"/>'
    )
    if cell is None:
        return _form(box, "none", x, y, w, h, "none", INK["grid"])
    _, name, fill, ink = next(s for s in SHADES if cell["ratio"] < s[0])
    if cell["n"] < CELL_POSTS:
        name, fill, ink = "thin", "none", INK["label"]
    said = (
        f"{day}, {cell['hour']:02d}:00 to {cell['hour'] + BLOCK_H:02d}:00: "
        f"{times(cell['ratio'])}, {cell['n']} posts"
    )
    edge = INK["grid"] if name == "thin" else fill
    drawn = _form(box, name, x, y, w, h, fill, edge)
    text = (
        '<text class="on-{}" x="{:.1f}" y="{:.1f}" text-anchor="middle" '
        'font-size="9.5" fill="{}">{}<title>{}</title></text>'
    )
    middle = (x + w / 2, y + h / 2 + 3.5)
    return drawn + _form(text, name, *middle, ink, _short(cell), said)


def _short(cell: Mapping[str, Any]) -> str:
    if cell["n"] < CELL_POSTS:
        return f"{cell['n']}"
    return times(cell["ratio"]).replace("\u00a0%", "%").replace("no change", "0%")


# what they share


def _svg(parts: Sequence[Markup], name: str, height: int, width: int = WIDTH) -> Markup:
    head = (
        '<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif">'
        "<title>{}</title>"
    )
    inside = Markup().join(parts)
    return _form(head, name, width, height, name) + inside + Markup("</svg>")


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> Markup:
    form = (
        '<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="{}" font-size="10" '
        'fill="{}">{}</text>'
    )
    return _form(form, x, y, anchor, INK["label"], text)


def _y(value: float, top: float) -> float:
    return TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM)


def _axis(marks: Sequence[float], top: float, base: float = 0) -> Markup:
    form = (
        '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" stroke="{}"/>'
        '<text class="label" x="{}" y="{:.1f}" text-anchor="end" font-size="10.5" '
        'fill="{}">{}</text>'
    )
    found = Markup()
    for mark in marks:
        y = _y(mark - base, top)
        found += _form(
            form,
            *(LEFT, WIDTH - RIGHT, y, y, INK["grid"]),
            *(LEFT - 5, y + 3.6, INK["label"], brief(mark)),
        )
    return found


def brief(value: float) -> str:
    """Return a number for an axis."""
    if value >= 1e5:  # noqa: PLR2004 - longer ones have no room
        size, letter = next(
            (size, letter)
            for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k"))
            if value >= size
        )
        return f"{value / size:,.6g}{letter}"
    return f"{value:,.6g}"


def _days(days: Sequence[str], step: float) -> Markup:
    every = ceil(len(days) / LABELS)
    found = Markup()
    for at in range(0, len(days), every):
        when = date.fromisoformat(days[at])
        short = len(days) <= LABELS
        text = f"{when:%a} {when.day}" if short else f"{when.day} {when:%b}"
        x = LEFT + (at + 0.5) * step
        if x > WIDTH - HALF_LABEL:  # it would be cut off
            found += _text(WIDTH, HEIGHT - 8, text, anchor="end")
        else:
            found += _text(x, HEIGHT - 8, text)
    return found


def _marks(most: float) -> list[float]:
    """Return round numbers from 0 to above *most*."""
    step = _round(max(most, 1) / MARKS)
    step = max(step, 1)
    return [at * step for at in range(ceil(most / step) + 1)] if most else [0, 1]


def _between(low: float, high: float) -> list[float]:
    step = max(_round((high - low) / MARKS), 1)
    first, last = floor(low / step), ceil(high / step)
    last = max(last, first + 1)
    return [at * step for at in range(first, last + 1)]


def _round(value: float) -> float:
    """Return the next larger of 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 1
    size: float = 10.0 ** floor(log10(value))
    return next(f * size for f in (1, 2, 2.5, 5, 10) if f * size >= value * 0.999)
