"""Captions of any program become WebVTT that says the same."""

from __future__ import annotations

import pytest

from nexus_actors.video.captions import Cue, decoded, plan_captions, read_cues, webvtt
from nexus_actors.video.models import CaptionOptions, SubtitleStream
from sources import media


SUBRIP = """1
00:00:01,000 --> 00:00:02,500
Hello <font color="red">you</font>,
<i>all</i> of you

2
00:00:03,5 --> 00:00:09,000
a < b & c --> d

3
00:00:20,000 --> 00:00:21,000
too late
"""

VTT = """WEBVTT - from a studio

NOTE who made it

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start position:10%
Hello &amp; <c.loud>welcome</c>
"""


def cues(text: str, seconds: float = 10) -> list[Cue]:
    return list(read_cues(text, seconds))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_subrip_is_read_whatever_its_lines_end_with(end: str) -> None:
    first, second = cues(SUBRIP.replace("\n", end), seconds=8)

    assert first == Cue(1.0, 2.5, "Hello you,\n<i>all</i> of you")
    assert second == Cue(3.5, 8, "a &lt; b &amp; c --&gt; d")  # ends with the film


def test_webvtt_is_read_without_its_notes_and_styles() -> None:
    assert cues(VTT) == [Cue(1.0, 2.5, "Hello &amp; welcome")]


def test_what_is_written_is_read_again() -> None:
    first = cues(SUBRIP)

    text = webvtt(first)

    assert text.startswith("WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello you,\n")
    assert cues(text) == first


@pytest.mark.parametrize(
    "text",
    [
        *("", "just words", "00:00:01,000 --> 00:00:02,000", "1\n\n2\n\n"),
        "00:00:05,000 --> 00:00:04,000\nback in time",
        "00:00:01,000 --> 00:00:02,000\n<script></script>",
        "--> " * 10_000,
    ],
)
def test_where_nothing_is_said_there_are_no_cues(text: str) -> None:
    assert cues(text) == []


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_file_need_not_say_how_it_is_written(code: str) -> None:
    assert decoded("Ça, c\u2019est à moi".encode(code)) == "Ça, c\u2019est à moi"


def test_files_come_first_and_each_label_is_once() -> None:
    own = (
        SubtitleStream(
            index=3, codec="mov_text", language="eng", forced=True, text=True
        ),
        SubtitleStream(
            index=4, codec="dvd_subtitle", language="deu", forced=False, text=False
        ),
    )
    source = media().model_copy(update={"subtitles": own})
    files = (CaptionOptions(input_path="/a.srt", language="en"),)

    tracks = plan_captions(source, files, own_too=True)

    told = [(t.name, t.label, t.source_index, t.forced) for t in tracks]
    assert told == [("0", "English", None, False), ("1", "English 2", 3, True)]
    assert len(plan_captions(source, files, own_too=False)) == 1
