"""Renditions never enlarge, keep the shape, and cut at the same instants."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from nexus_actors.video.ladder import renditions
from sources import media


SIZES = [
    (1920, 1080),
    (1080, 1920),
    (1280, 720),
    (1000, 1000),
    (1778, 1000),
    (1920, 800),
    (720, 576),
    (854, 480),
    (641, 361),
    (3840, 2160),
    (8000, 1000),
    (1000, 7000),
    (2048, 1536),
    (400, 300),
]


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_even_within_the_source_in_its_shape_and_falling(
    size: tuple[int, int],
) -> None:
    width, height = size

    rungs = renditions(media(width=width, height=height))

    for rung in rungs:
        assert rung.width % 2 == rung.height % 2 == 0
        assert rung.width <= width + width % 2
        assert rung.height <= height + height % 2
        # rounding to even sizes moves each side by one pixel at most
        slack = 0.01 + 2 / min(rung.width, rung.height)
        shape = (rung.width / rung.height) / (width / height)
        assert shape == pytest.approx(1, abs=slack)
    shorts = [min(rung.width, rung.height) for rung in rungs]
    rates = [rung.maxrate for rung in rungs]
    assert shorts == sorted(set(shorts), reverse=True)
    assert rates == sorted(set(rates), reverse=True)


@pytest.mark.parametrize(
    ("size", "names"),
    [
        ((1920, 1080), ["1080", "720", "480", "360", "240"]),
        ((1080, 1920), ["1080", "720", "480", "360", "240"]),
        ((3840, 2160), ["1080", "720", "480", "360", "240"]),
        ((1778, 1000), ["1000", "720", "480", "360", "240"]),
        ((320, 240), ["240"]),
        ((176, 144), ["144"]),
        ((16, 16), ["16"]),
    ],
)
def test_rungs_are_named_by_the_short_side(
    size: tuple[int, int], names: list[str]
) -> None:
    found = renditions(media(width=size[0], height=size[1]))

    assert [rung.name for rung in found] == names


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (32, 18)])
def test_a_tiny_source_has_one_rung_that_can_be_encoded(size: tuple[int, int]) -> None:
    [rung] = renditions(media(width=size[0], height=size[1]))

    assert min(rung.width, rung.height) >= 2


def test_a_panorama_fits_what_decoders_take() -> None:
    rungs = renditions(media(width=8000, height=1000))

    assert max(rungs[0].width, rungs[0].height) <= 4096


@pytest.mark.parametrize(
    ("told", "vfr", "fps"),
    [
        ("60/1", False, ["60", "60", "30", "30", "30"]),
        ("60000/1001", False, ["60000/1001", "60000/1001", *["30000/1001"] * 3]),
        ("50/1", False, ["50", "50", "25", "25", "25"]),
        ("30/1", False, ["30"] * 5),
        ("24000/1001", False, ["24000/1001"] * 5),
        ("120/1", False, ["60", "60", "30", "30", "30"]),
        ("29/1", False, ["29"] * 5),
        ("59/2", True, ["30000/1001"] * 5),
    ],
)
def test_frame_rates_divide_that_of_the_first_and_key_frames_meet(
    told: str, vfr: bool, fps: list[str]
) -> None:
    rungs = renditions(media(fps_q=told, vfr=vfr))

    assert [rung.fps for rung in rungs] == [Fraction(text) for text in fps]
    assert len({rung.gop / rung.fps for rung in rungs}) == 1
    assert float(rungs[0].gop / rungs[0].fps) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_no_more_is_spent_than_the_source_is_worth(codec: str) -> None:
    factor = {"h264": 1.0, "hevc": 1.6, "av1": 2.0}[codec]

    rungs = renditions(media(bit_rate=900_000, codec=codec))

    assert rungs[0].maxrate <= 1.2 * 900_000 * factor
    for above, below in pairwise(rungs):
        assert below.maxrate <= 0.85 * above.maxrate


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (320, 240)])
def test_a_weak_network_finds_a_rung(width: int, height: int) -> None:
    assert renditions(media(width=width, height=height))[-1].maxrate <= 400_000


def test_fast_pictures_may_spend_half_as_much_again() -> None:
    slow: Any = {rung.name: rung for rung in renditions(media())}
    fast = {rung.name: rung for rung in renditions(media(fps_q="60/1"))}

    assert fast["1080"].maxrate == slow["1080"].maxrate * 3 // 2
    assert fast["360"].maxrate == slow["360"].maxrate
    assert all(rung.bufsize == 2 * rung.maxrate for rung in fast.values())
