"""Renditions never enlarge, keep the shape, and cut at the same instants."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from nexus_actors.video.ladder import LADDERS, Rung, renditions, rungs_of
from nexus_actors.video.models import ProcessVideoOptions
from nexus_actors.video.settings import VideoSettings
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


def ladder(settings: dict[str, Any] | None = None, **options: Any) -> tuple[Rung, ...]:
    asked = ProcessVideoOptions.model_validate(options)
    return rungs_of(asked, VideoSettings.load(settings or {}))


@pytest.mark.parametrize("name", LADDERS)
@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_even_within_the_source_in_its_shape_and_falling(
    size: tuple[int, int], name: str
) -> None:
    width, height = size

    rungs = renditions(media(width=width, height=height), ladder(ladder=name))

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


@pytest.mark.parametrize(
    ("name", "shorts", "cap"),
    [
        ("default", [1080, 720, 480, 360, 240], 6_000_000),
        ("mobile", [720, 480, 360, 240], 2_000_000),
        ("premium", [2160, 1440, 1080, 720, 480, 360, 240], 20_000_000),
    ],
)
def test_a_ladder_has_the_rungs_of_its_name_in_every_shape(
    name: str, shorts: list[int], cap: int
) -> None:
    for size in ((3840, 2160), (2160, 3840), (2160, 2160)):
        source = media(width=size[0], height=size[1], bit_rate=50_000_000)

        made = renditions(source, ladder(ladder=name))

        assert [min(rung.width, rung.height) for rung in made] == shorts
        assert made[0].maxrate == cap


def test_a_ladder_for_small_screens_halves_the_rate_of_all_its_rungs() -> None:
    made = renditions(media(fps_q="60000/1001"), ladder(ladder="mobile"))

    assert {rung.fps for rung in made} == {Fraction(30000, 1001)}
    assert {rung.gop for rung in made} == {60}


@pytest.mark.parametrize(
    ("bitrate", "caps"),
    [("6M", [6_000_000, 3_100_000]), ("3000k", [3_000_000, 1_550_000])],
)
def test_the_setting_moves_the_caps_of_all_rungs(bitrate: str, caps: list[int]) -> None:
    made = renditions(media(), ladder({"video_bitrate": bitrate}))

    assert [rung.maxrate for rung in made[:2]] == caps


def custom(*wanted: dict[str, Any], settings: dict[str, Any] | None = None) -> Any:
    return ladder(settings, ladder="custom", renditions=wanted)


def test_a_custom_ladder_is_made_as_it_is_asked_for_from_large_to_small() -> None:
    asked = custom(
        {"resolution": 480, "max_bitrate": "900k", "crf": 30, "max_fps": 15},
        {"resolution": 600, "max_bitrate": 950_000, "crf": 18},
    )

    made = renditions(media(fps_q="60/1"), asked, exact=True)

    assert [(r.name, r.maxrate, r.crf, float(r.fps)) for r in made] == [
        ("600", 950_000, 18, 60.0),
        ("480", 900_000, 30, 15.0),
    ]
    assert [(r.width, r.height) for r in made] == [(1066, 600), (854, 480)]
    assert {rung.gop / rung.fps for rung in made} == {2}


def test_what_a_host_leaves_open_is_as_in_the_default_ladder() -> None:
    asked = custom(
        *({"resolution": n} for n in (4096, 2160, 1080, 900, 720, 240, 16)),
        settings={"video_bitrate": "3M"},
    )

    figures = {rung.short: (rung.maxrate, rung.crf) for rung in asked}

    assert figures[1080] == (3_000_000, 22)
    assert figures[720] == (1_550_000, 22)
    assert figures[900] == (2_275_000, 22)
    assert figures[240] == (200_000, 24)
    rates = [rung.maxrate for rung in asked]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] >= 25_000


def test_a_custom_ladder_never_enlarges() -> None:
    asked = custom({"resolution": 2160}, {"resolution": 480})

    assert [r.name for r in renditions(media(), asked, exact=True)] == ["480"]
    tiny = renditions(media(width=320, height=180), asked, exact=True)
    assert [(r.width, r.height) for r in tiny] == [(320, 180)]


def test_a_small_picture_of_a_custom_ladder_has_no_more_frames_than_a_large_one() -> (
    None
):
    asked = custom(
        {"resolution": 720, "max_fps": 30}, {"resolution": 240, "max_fps": 60}
    )

    made = renditions(media(fps_q="60/1"), asked, exact=True)

    assert [rung.fps for rung in made] == [30, 30]


@pytest.mark.parametrize("told", ["24/1", "25/1", "30000/1001", "40/1", "50/1", "60/1"])
@pytest.mark.parametrize("cap", [1, 5, 10, 12, 20, 24, 30, 60])
@pytest.mark.parametrize("top", [7, 60])
def test_a_cap_of_frames_divides_the_rate_and_keeps_key_frames_aligned(
    told: str, cap: int, top: int
) -> None:
    asked = custom(
        {"resolution": 720, "max_fps": top}, {"resolution": 360, "max_fps": cap}
    )

    first, second = renditions(media(fps_q=told), asked, exact=True)

    assert first.fps <= top
    assert (first.fps / second.fps).denominator == 1
    assert second.gop / second.fps == first.gop / first.fps
    assert second.fps <= cap
