"""Reads under which licences everything stands that users may install with the package.

From the metadata of what is installed here; a licence that is unknown, or does not fit
beside ours, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


PACKAGE: Final = "nexus-actors"

#: What the metadata says, where it is no SPDX expression.
SPDX: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "MIT License": "MIT",
}

#: Read from the licence files of those whose metadata is vague, or that are not
#: installed on every machine.
READ: Final = {
    "async-timeout": "Apache-2.0",
    "cronsim": "BSD-3-Clause",
    "cssselect2": "BSD-3-Clause",
    "hyperframe": "MIT",
    "imageio-ffmpeg": "BSD-2-Clause",
    "jinja2": "BSD-3-Clause",
    "pyasn1-modules": "BSD-2-Clause",
    "pydyf": "BSD-3-Clause",
    "pyphen": "GPL-2.0-or-later OR LGPL-2.1-or-later OR MPL-1.1",
    "tinycss2": "BSD-3-Clause",
    "weasyprint": "BSD-3-Clause",
    "webencodings": "BSD-3-Clause",
}

#: They ask for their notice to be kept, and for no more.
PERMISSIVE: Final = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT"),
    *("MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"),
}

#: They ask for the source of what was changed in the package itself, and that users may
#: put another version in its place, as they may with everything that pip has installed.
WEAK_COPYLEFT: Final = {
    *("LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MPL-1.1", "MPL-2.0"),
}

#: Where a package may be installed; markers are read for all of them.
MACHINES: Final = [
    {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": system,
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": system.lower(),
    }
    for version in ("3.11.2", "3.11.9", "3.12.9", "3.13.9")
    for system, machine in (
        *(("Linux", "x86_64"), ("Linux", "aarch64")),
        *(("Darwin", "x86_64"), ("Darwin", "arm64")),
    )
]


class LicenceError(Exception):
    """A licence is unknown, or does not fit beside ours."""


@dataclass(frozen=True, slots=True)
class Part:
    """A package that comes with ours; *extras* is empty if it always does."""

    name: str
    licence: str
    extras: tuple[str, ...]


def parts() -> list[Part]:
    """Return every package that may be installed with ours, sorted by name."""
    always = closure(PACKAGE, frozenset())
    provided = distribution(PACKAGE).metadata.get_all("Provides-Extra", [])
    by_extra = {
        extra: closure(PACKAGE, frozenset([extra])) - always
        for extra in sorted(provided)
        if extra != "all"
    }
    names = always.union(*by_extra.values()) - {PACKAGE}
    return [
        Part(
            name=name,
            licence=checked(name, licence_of(name)),
            extras=tuple(extra for extra, found in by_extra.items() if name in found),
        )
        for name in sorted(names)
    ]


def closure(root: str, extras: frozenset[str]) -> set[str]:
    """Return *root* and all that it requires, on any machine."""
    found: dict[str, frozenset[str]] = {}
    wanted = [(root, extras)]
    while wanted:
        name, asked = wanted.pop()
        have = found.get(name)
        if have is None or not asked <= have:
            found[name] = (have or frozenset()) | asked
            wanted += required(name, found[name])
    return set(found)


def required(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what a package requires with *extras*, and with which extras of its own."""
    try:
        requires = distribution(name).requires or []
    except PackageNotFoundError:
        if name not in READ:
            raise LicenceError(f"{name}: install it, or name it in READ") from None
        return
    for requirement in map(Requirement, requires):
        if any(applies(requirement, extra) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def applies(requirement: Requirement, extra: str) -> bool:
    """Tell whether a requirement is one on some machine."""
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({**machine, "extra": extra}) for machine in MACHINES
    )


def licence_of(name: str) -> str:
    """Return a package's licence as an SPDX expression."""
    if name in READ:
        return READ[name]
    metadata = distribution(name).metadata
    given = [
        metadata[key] for key in ("License-Expression", "License") if key in metadata
    ]
    given += [
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get_all("Classifier", [])
        if classifier.startswith("License :: ")
    ]
    expressions = [SPDX.get(text, text) for text in given]
    known = [text for text in expressions if fits(text)]
    return known[0] if known else " / ".join(expressions)


def checked(name: str, licence: str) -> str:
    """Return *licence* if the package may come with ours."""
    if not fits(licence):
        raise LicenceError(
            f"{name}: {licence[:100] or 'no licence'!r} is unknown, or does not fit "
            "beside ours; see docs/licences.py"
        )
    return licence


def fits(expression: str) -> bool:
    """Tell whether each licence that holds, or one that may be chosen, is allowed."""
    return all(
        any(choice.strip("() ") in PERMISSIVE | WEAK_COPYLEFT for choice in choices)
        for choices in (part.split(" OR ") for part in expression.split(" AND "))
    )
