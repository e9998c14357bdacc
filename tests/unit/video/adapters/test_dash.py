"""The DASH manifest is valid, and says the same as was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from lxml import etree

from nexus_actors.video.adapters.dash import aspect, manifest, rate, seconds
from nexus_actors.video.base import Workbench, packagers
from nexus_actors.video.models import Caption, Presentation, Segment


Film = Callable[[str], tuple[Presentation, Workbench]]

NAMESPACE = {"d": "urn:mpeg:dash:schema:mpd:2011"}
FILMS = ["film", "silent", "ntsc", "short"]


def parsed(presentation: Presentation) -> etree._Element:
    return etree.fromstring(manifest(presentation))


def found(mpd: etree._Element, path: str) -> list[etree._Element]:
    return mpd.findall(f".//d:{path}", NAMESPACE)


@pytest.mark.parametrize("name", FILMS)
def test_the_manifest_is_valid(
    name: str, film: Film, mpd_schema: etree.XMLSchema
) -> None:
    presentation, _ = film(name)

    mpd_schema.assertValid(parsed(presentation))


def test_the_schema_would_tell_a_wrong_manifest(
    film: Film, mpd_schema: etree.XMLSchema
) -> None:
    presentation, _ = film("short")
    mpd = parsed(presentation)

    found(mpd, "Representation")[0].set("bandwidth", "fast")

    assert not mpd_schema.validate(mpd)


def test_all_rungs_are_in_one_set_with_their_measures(film: Film) -> None:
    presentation, _ = film("film")
    mpd = parsed(presentation)

    video, audio = found(mpd, "AdaptationSet")

    told = {name: video.get(name) for name in video.keys()}  # noqa: SIM118 - no dict
    assert told == {
        "id": "0",
        "contentType": "video",
        "mimeType": "video/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
        "maxWidth": "854",
        "maxHeight": "480",
        "maxFrameRate": "25",
        "par": "16:9",
    }
    rungs = video.findall("d:Representation", NAMESPACE)
    assert [(r.get("width"), r.get("height"), r.get("sar")) for r in rungs] == [
        ("854", "480", "1:1"),
        ("640", "360", "1:1"),
        ("428", "240", "1:1"),
    ]
    peaks = [track.peak_bitrate for track in presentation.video]
    assert [int(str(r.get("bandwidth"))) for r in rungs] == peaks
    assert audio.get("lang") == "en"


def test_sound_is_told_with_its_channels_and_its_role(film: Film) -> None:
    presentation, _ = film("film")
    mpd = parsed(presentation)

    sound = found(mpd, "AdaptationSet")[1]

    assert [r.get("value") for r in sound.findall("d:Role", NAMESPACE)] == ["main"]
    (channels,) = found(mpd, "AudioChannelConfiguration")
    assert channels.get("value") == str(presentation.audio[0].channels)
    representation = sound.find("d:Representation", NAMESPACE)
    assert representation is not None
    assert representation.get("audioSamplingRate") == "48000"
    assert representation.get("codecs") == "mp4a.40.2"


def test_each_language_has_a_set_of_its_own(
    film: Film, mpd_schema: etree.XMLSchema
) -> None:
    presentation, _ = film("film")
    (track,) = presentation.audio
    other = replace(track, name="1", language="deu", default=False)
    unknown = replace(track, name="2", language=None, default=False)

    mpd = parsed(replace(presentation, audio=(track, other, unknown)))

    mpd_schema.assertValid(mpd)
    sets = found(mpd, "AdaptationSet")[1:]
    assert [s.get("lang") for s in sets] == ["en", "de", None]
    roles = [role.get("value") for role in found(mpd, "Role")]
    assert roles == ["main", "alternate", "alternate"]


def test_sounds_are_labelled_and_told_apart_by_what_they_are_for(
    film: Film, mpd_schema: etree.XMLSchema
) -> None:
    presentation, _ = film("film")
    (track,) = presentation.audio
    spoken = replace(track, name="1", label="A & B", purpose="commentary")
    wide = replace(track, name="0-surround", channels=6)

    mpd = parsed(replace(presentation, audio=(track, spoken, wide)))

    mpd_schema.assertValid(mpd)
    labels = [label.text for label in found(mpd, "Label")]
    assert labels == ["English", "A & B", "English 5.1"]
    roles = [role.get("value") for role in found(mpd, "Role")]
    assert roles == ["main", "commentary", "main"]


def test_captions_have_sets_of_their_own(
    film: Film, mpd_schema: etree.XMLSchema
) -> None:
    presentation, _ = film("film")
    english = Caption(
        name="0",
        input_path="e.srt",
        source_index=None,
        language="eng",
        label="English <CC>",
    )
    signs = replace(english, name="1", language=None, label="Signs", forced=True)

    mpd = parsed(replace(presentation, captions=(english, signs)))

    mpd_schema.assertValid(mpd)
    sets = found(mpd, "AdaptationSet[@contentType='text']")
    assert [s.get("lang") for s in sets] == ["en", None]
    roles = [s.find("d:Role", NAMESPACE) for s in sets]
    told = [role.get("value") for role in roles if role is not None]
    assert told == ["subtitle", "forced-subtitle"]


def test_each_codec_has_a_set_of_its_own_and_the_better_ones_are_preferred(
    film: Film, mpd_schema: etree.XMLSchema
) -> None:
    presentation, _ = film("film")
    others = tuple(
        replace(track, name=f"{track.name}-{codec[:4]}", codecs=codec)
        for codec in ("hvc1.1.6.L93.90", "av01.0.05M.08")
        for track in presentation.video
    )

    mpd = parsed(replace(presentation, video=(*presentation.video, *others)))

    mpd_schema.assertValid(mpd)
    sets = found(mpd, "AdaptationSet")
    assert [s.get("id") for s in sets] == ["0", "1", "2", "3"]
    assert [s.get("selectionPriority") for s in sets] == [None, "2", "3", None]
    for group in sets:
        codecs = {r.get("codecs") for r in group.findall("d:Representation", NAMESPACE)}
        assert len({str(codec)[:4] for codec in codecs}) == 1


@pytest.mark.parametrize("name", FILMS)
def test_every_timeline_names_each_segment_with_its_true_duration(
    name: str, film: Film
) -> None:
    presentation, _ = film(name)
    mpd = parsed(presentation)

    tracks = (*presentation.video, *presentation.audio)
    templates = found(mpd, "SegmentTemplate")
    for track, template in zip(tracks, templates, strict=True):
        told = []
        for row in template.iter(f"{{{NAMESPACE['d']}}}S"):
            told += [int(row.get("d", "0"))] * (int(row.get("r", "0")) + 1)
        assert told == [segment.duration for segment in track.segments]
        assert template.get("timescale") == str(track.timescale)


def test_segments_of_one_duration_share_a_row(film: Film) -> None:
    presentation, _ = film("film")
    track = presentation.video[0]
    even = tuple(
        Segment(
            name=f"{n}.m4s", size=1, start=n * 100, duration=d, frames=1, fragments=()
        )
        for n, d in enumerate((100, 100, 100, 50, 100))
    )

    mpd = parsed(Presentation(video=(replace(track, segments=even),), audio=()))

    assert [dict(row.attrib) for row in found(mpd, "S")] == [
        {"t": "0", "d": "100", "r": "2"},
        {"d": "50"},
        {"d": "100"},
    ]


@pytest.mark.parametrize("name", FILMS)
def test_everything_that_the_manifest_names_is_there(name: str, film: Film) -> None:
    presentation, bench = film(name)

    made = packagers.get("dash")().package(presentation, bench)

    assert made == ["dash/manifest.mpd"]
    mpd = etree.parse(str(bench.root / made[0])).getroot()
    for template in found(mpd, "SegmentTemplate"):
        rows = template.iter(f"{{{NAMESPACE['d']}}}S")
        count = sum(int(row.get("r", "0")) + 1 for row in rows)
        media = str(template.get("media"))
        names = [str(template.get("initialization"))]
        names += [media.replace("$Number%05d$", f"{n + 1:05d}") for n in range(count)]
        for uri in names:
            target = (bench.root / "dash" / uri).resolve()
            assert target.is_relative_to(bench.root.resolve())
            assert target.stat().st_size > 0


def test_the_presentation_is_as_long_as_its_longest_track(film: Film) -> None:
    presentation, _ = film("film")
    mpd = parsed(presentation)

    told = str(mpd.get("mediaPresentationDuration"))

    longest = max(t.duration for t in (*presentation.video, *presentation.audio))
    assert float(told[2:-1]) == pytest.approx(longest, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (4, "PT4S"),
        (10, "PT10S"),
        (9.6, "PT9.6S"),
        (0.0000004, "PT0.000001S"),
        (100.5, "PT100.5S"),
    ],
)
def test_durations_are_written_without_needless_zeros(
    value: float, written: str
) -> None:
    assert seconds(value) == written


@pytest.mark.parametrize(
    ("width", "height", "written"),
    [
        (854, 480, "16:9"),
        (426, 240, "16:9"),
        (608, 1080, "9:16"),
        (480, 480, "1:1"),
        (640, 480, "4:3"),
        (1920, 800, "12:5"),
        (2, 4096, "1:2038"),
    ],
)
def test_the_shape_is_a_ratio_that_people_know(
    width: int, height: int, written: str
) -> None:
    assert aspect(width, height) == written


def test_frame_rates_are_exact() -> None:
    assert rate(Fraction(25)) == "25"
    assert rate(Fraction(30000, 1001)) == "30000/1001"
