"""A licence that is unknown, or asks for more than the others, is noticed."""

from __future__ import annotations

import pytest

import licences


@pytest.mark.parametrize(
    "expression",
    ["MIT", "Apache-2.0 OR GPL-3.0-only", "MIT AND LGPL-3.0-or-later", "MPL-2.0"],
)
def test_a_licence_that_fits_beside_ours_is_taken(expression: str) -> None:
    assert licences.checked("some-package", expression) == expression


@pytest.mark.parametrize(
    "expression",
    [
        "GPL-3.0-only",
        "AGPL-3.0-or-later",
        "MIT AND GPL-2.0-only",
        "SSPL-1.0",
        "BSD",
        "",
    ],
)
def test_any_other_is_refused_by_name(expression: str) -> None:
    with pytest.raises(licences.LicenceError, match="some-package: "):
        licences.checked("some-package", expression)


def test_every_package_of_the_constraints_that_we_require_is_listed() -> None:
    listed = {part.name for part in licences.parts()}

    assert {"dramatiq", "redis", "numpy", "weasyprint", "imageio-ffmpeg"} <= listed
    assert {"pytest", "sphinx", "nexus-actors"}.isdisjoint(listed)


def test_what_comes_with_no_extra_comes_always() -> None:
    extras = {part.name: part.extras for part in licences.parts()}

    assert extras["dramatiq"] == ()
    assert extras["wand"] == ("video",)
    assert extras["twilio"] == ("notifications", "twilio")
