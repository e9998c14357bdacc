from __future__ import annotations

import pytest

from nexus_actors.sandbox.forms import split


KIND = 'multipart/form-data; boundary="a b"'


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_the_parts_of_a_body_are_told_apart_and_keep_their_bytes(end: str) -> None:
    lines = [
        "--a b",
        'Content-Disposition: form-data; name="title"',
        "",
        "A -- walk",
        "--a b",
        'content-disposition: form-data; name="file"; filename="a.mp4"',
        "Content-Type: video/mp4",
        "",
    ]
    film = b"\x00\r\n\r\n--a\n\xff"
    body = end.join([*lines, ""]).encode() + film + f"{end}--a b--{end}".encode()

    field, file = split(body, KIND)

    assert (field.name, field.filename, field.data) == ("title", None, b"A -- walk")
    assert (file.name, file.filename, file.data) == ("file", "a.mp4", film)
    assert file.content_type == "video/mp4"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"--x--", "multipart/form-data"),
        (b"", KIND),
        (b"--a b\r\n\r\nx", KIND),
        (b"--a b\r\nno end\r\n--a b--", KIND),
        (b"stray\r\n--a b\r\n\r\nx\r\n--a b--", KIND),
    ],
)
def test_a_body_that_is_not_whole_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=r"boundary|whole|headers|unpack"):
        split(body, kind)
