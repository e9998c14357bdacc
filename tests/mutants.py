"""Files that were damaged at random: the same one for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final


#: What is written over a number of a header.
EXTREMES: Final = (0, 1, 7, 0x7F, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)

#: Names of boxes and elements near which headers are damaged.
MARKS: Final = (
    *(b"mvhd", b"tkhd", b"mdhd", b"elst", b"stsd", b"avcC", b"hvcC", b"av1C", b"esds"),
    *(b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"co64", b"trun", b"tfhd"),
    *(
        b"ftyp",
        b"moov",
        b"hdlr",
        b"avih",
        b"strh",
        b"\x1a\x45\xdf\xa3",
        b"\x16\x54\xae",
    ),
)

Mutation = Callable[[bytearray, random.Random], None]


def flip_bits(content: bytearray, chance: random.Random) -> None:
    """Flip some bits anywhere."""
    for _ in range(chance.choice((1, 10, 100, 1000))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def flip_bits_in_front(content: bytearray, chance: random.Random) -> None:
    """Flip some bits where a file says what it is."""
    for _ in range(chance.choice((1, 5, 20))):
        place = chance.randrange(min(4096, len(content)))
        content[place] ^= 1 << chance.randrange(8)


def truncate(content: bytearray, chance: random.Random) -> None:
    """Cut the file off."""
    del content[chance.randrange(1, len(content)) :]


def edit_header(content: bytearray, chance: random.Random) -> None:
    """Write extreme numbers into what follows the names of boxes."""
    for _ in range(chance.choice((1, 1, 3))):
        found = [content.find(mark) for mark in MARKS]
        start = chance.choice([place for place in found if place >= 0] or [0])
        place = max(0, start + 4 * chance.randrange(-1, 16))
        number = chance.choice((*EXTREMES, chance.getrandbits(32)))
        content[place : place + 4] = number.to_bytes(
            4, chance.choice(("big", "little"))
        )


def blank(content: bytearray, chance: random.Random) -> None:
    """Overwrite a part, as a disk or a transfer does that has lost it."""
    start, size = chance.randrange(len(content)), chance.choice((16, 512, 65536))
    size = min(size, len(content) - start)
    content[start : start + size] = bytes(size)


def shuffle(content: bytearray, chance: random.Random) -> None:
    """Repeat a part, or leave it out, so that all places behind it are wrong."""
    start, size = chance.randrange(len(content)), chance.choice((1, 188, 4096))
    part = content[start : start + size]
    content[start : start + chance.choice((0, size))] = part * chance.choice((0, 2))


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_bits,
    flip_bits_in_front,
    truncate,
    edit_header,
    edit_header,
    blank,
    shuffle,
)


def mutant(sources: list[Path], seed: int, target: Path) -> str:
    """Write a damaged copy of one of *sources*; return what was done to which."""
    chance = random.Random(seed)
    source = chance.choice(sources)
    mutate = chance.choice(MUTATIONS)
    content = bytearray(source.read_bytes())
    mutate(content, chance)
    target.write_bytes(content)
    return f"seed {seed}: {mutate.__name__} of {source.name}"
