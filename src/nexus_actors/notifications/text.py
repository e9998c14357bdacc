"""Words for people: made harmless, shortened, and counted as phones count them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


#: Characters that turn the direction of what follows them: they can make one thing
#: look like another.
BIDI: Final = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")

#: What no text needs but line breaks and tabs; also the Unicode line separators, and
#: halves of characters, which programs that cut texts by UTF-16 units leave behind.
CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]"
)

#: What belongs to the character before it: joiners, variation selectors, skin tones.
JOINER: Final = "\u200d"
MODIFIERS: Final = re.compile(
    "[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)
FLAG: Final = re.compile("[\U0001f1e6-\U0001f1ff]")

#: How much one character may be made of: a family with skin tones is 11.
HEAP: Final = 16

#: GSM 03.38: one septet each, and those that take two.
GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED: Final = frozenset("\f^{}\\[~]|€")

#: What looks alike in GSM 03.38; one such character would halve a message's room.
ALIKE: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00a0\u2009\u202f\t", " "),
        "…": "...",
        "•": "*",
        "ç": "c",
    }
)


def clean(text: str) -> str:
    """Return *text* without what steers: control characters, changes of direction."""
    return BIDI.sub("", CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def one_line(text: str) -> str:
    """Return *text* on one line, as a subject or a name must be."""
    return " ".join(clean(text).split())


def shorten(text: str, most: int) -> str:
    """Return the start of *text*, of at most *most* characters as people see them."""
    # a megabyte is not looked through; half of what is may be blanks
    start = text[: 2 * HEAP * most]
    line = one_line(start)
    characters = list(_characters(line[: HEAP * most]))
    is_whole = len(start) == len(text) and len(line) <= HEAP * most
    if len(characters) <= most and is_whole:
        return line
    kept = "".join(characters[: max(most - 1, 1)]).rstrip()
    return f"{kept}…"


def fit(text: str, most: int) -> str:
    """Return the start of *text*, of at most *most* UTF-16 units, as programs count."""
    count = most
    while len(text.encode("utf-16-le")) > 2 * most:
        text, count = shorten(text, count), count * 3 // 4
    return text


def _characters(text: str) -> Iterator[str]:
    """Yield what people see as one character, nearly as Unicode defines it."""
    found = ""
    for each in text:
        if found and _continues(found, each):
            found += each
            continue
        if found:
            yield found
        found = each
    if found:
        yield found


def _continues(before: str, each: str) -> bool:
    if each == JOINER or before.endswith(JOINER) or MODIFIERS.match(each):
        return len(before) < HEAP
    if FLAG.match(each):
        return len(before) == 1 and bool(FLAG.match(before))
    return bool(unicodedata.combining(each)) and len(before) < HEAP


@dataclass(frozen=True, slots=True)
class Segments:
    """How a text message is carried.

    Attributes:
        encoding: ``GSM-7`` or ``UCS-2``.
        units: Septets, or UTF-16 units.
        count: How many messages it is charged as.
    """

    encoding: str
    units: int
    count: int


def gsm(text: str) -> str:
    """Return *text* with characters that look alike in GSM 03.38, if that is enough."""
    alike = text.translate(ALIKE)
    return alike if set(alike) <= GSM | GSM_EXTENDED else text


def segments(text: str) -> Segments:
    """Count what *text* is carried by.

    A character of two units is never split, so that a segment may end early.
    """
    if set(text) <= GSM | GSM_EXTENDED:
        sizes = [2 if each in GSM_EXTENDED else 1 for each in text]
        encoding, alone, of_several = "GSM-7", 160, 153
    else:
        sizes = [len(each.encode("utf-16-le")) // 2 for each in text]
        encoding, alone, of_several = "UCS-2", 70, 67
    units = sum(sizes)
    if units <= alone:
        return Segments(encoding, units, 1)
    count, used = 1, 0
    for size in sizes:
        if used + size > of_several:
            count, used = count + 1, 0
        used += size
    return Segments(encoding, units, count)


def duration(seconds: float) -> str:
    """Return ``3:25`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
