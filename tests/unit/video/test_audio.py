"""Every viewer hears a language of the film, and hears it in stereo at least."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_actors.video.audio import audio_renditions, choose, unique
from nexus_actors.video.models import AudioRendition, AudioStream, ProcessVideoOptions
from nexus_actors.video.settings import VideoSettings
from sources import sound


def made(*tracks: AudioStream, **options: Any) -> tuple[AudioRendition, ...]:
    asked = ProcessVideoOptions.model_validate(options)
    return audio_renditions(choose(tracks, asked), asked, VideoSettings.load())


ENGLISH = sound(index=1, language="eng")
GERMAN = sound(index=2, language="ger")
DEUTSCH = sound(index=3, language="deu", channels=6)
NAMELESS = sound(index=4, language=None)
SPOKEN = sound(index=5, language="fra", purpose="commentary")


@pytest.mark.parametrize(
    ("layout", "channels", "heard"),
    [
        ("5.1(side)", 6, None),
        (None, 8, None),
        (None, 9, (0, 1)),
        ("1 channels (LFE)", 1, None),
        ("2 channels (FC+LFE)", 2, None),
        ("2 channels (TFL+TFR)", 2, (0, 1)),
        ("3 channels (FL+FC+LFE)", 3, (0, 1)),
        ("4 channels (FL+FR+BL+LFE)", 4, (0, 1)),
        ("ambisonic 1", 4, (0, 0)),
    ],
)
def test_what_ffmpeg_cannot_mix_is_heard_by_its_first_channels(
    layout: str | None, channels: int, heard: tuple[int, int] | None
) -> None:
    track = sound(layout=layout, channels=channels)

    assert {each.heard for each in made(track, surround=True)} == {heard}


@pytest.mark.parametrize(
    ("tracks", "chosen", "channels", "bitrate"),
    [
        ([sound()], 1, 2, 128_000),
        ([sound(), sound(index=2, default=True)], 2, 2, 128_000),
        ([sound(), sound(index=2, channels=6)], 2, 2, 128_000),
        ([sound(default=True), sound(index=2, channels=6)], 1, 2, 128_000),
        ([sound(), sound(index=2)], 1, 2, 128_000),
        ([sound(channels=1)], 1, 1, 64_000),
        ([sound(purpose="commentary", default=True), sound(index=2)], 2, 2, 128_000),
        ([sound(purpose="commentary")], 1, 2, 128_000),
    ],
)
def test_the_default_track_is_taken_else_the_one_with_most_channels(
    tracks: list[Any], chosen: int, channels: int, bitrate: int
) -> None:
    [track] = made(*tracks, audio_tracks="default")

    found = (track.source_index, track.channels, track.bitrate)
    assert found == (chosen, channels, bitrate)
    assert track.default


@pytest.mark.parametrize(
    ("mode", "chosen"),
    [("default", [3]), ("languages", [3, 1]), ("all", [3, 1, 2, 4, 5])],
)
def test_the_best_of_each_language_is_made_and_what_else_is_asked_for(
    mode: str, chosen: list[int]
) -> None:
    tracks = made(ENGLISH, GERMAN, DEUTSCH, NAMELESS, SPOKEN, audio_tracks=mode)

    assert [track.source_index for track in tracks] == chosen
    assert [track.default for track in tracks] == [True, *[False] * (len(chosen) - 1)]
    assert {track.channels for track in tracks} == {2}


def test_the_default_track_stands_for_its_language() -> None:
    default = sound(index=2, language="ger", default=True)

    tracks = made(ENGLISH, default, DEUTSCH)

    assert [track.source_index for track in tracks] == [2, 1]


def test_without_languages_there_is_one_track() -> None:
    recording = [sound(index=n, language=None) for n in (1, 2, 3)]

    assert [track.source_index for track in made(*recording)] == [1]


def test_tracks_are_labelled_as_viewers_read_them_each_otherwise() -> None:
    tracks = made(ENGLISH, GERMAN, DEUTSCH, NAMELESS, SPOKEN, audio_tracks="all")

    assert [track.label for track in tracks] == [
        *("Deutsch", "English", "Deutsch 2", "Audio", "Français (commentary)")
    ]


def test_surround_stands_beside_stereo_with_the_same_label() -> None:
    stereo, english, wide = made(ENGLISH, DEUTSCH, surround=True)

    assert (stereo.channels, english.channels, wide.channels) == (2, 2, 6)
    assert (wide.name, wide.bitrate) == ("0-surround", 384_000)
    assert (wide.label, wide.source_index) == (stereo.label, stereo.source_index)


@pytest.mark.parametrize(("channels", "made_in"), [(1, [1]), (2, [2]), (4, [2])])
def test_surround_is_not_made_of_less(channels: int, made_in: list[int]) -> None:
    tracks = made(sound(channels=channels), surround=True)

    assert [track.channels for track in tracks] == made_in


def test_two_tracks_of_one_label_get_two_names() -> None:
    assert unique(["eng", "deu", "eng", "eng"]) == ["eng", "deu", "eng 2", "eng 3"]
