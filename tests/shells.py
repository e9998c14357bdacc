"""Checks shell commands of the pages that no test can run.

They install packages, or need Docker, a cluster or a vendor.  What is ours in them must
be there all the same: commands with their options, settings, extras, make's targets.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import Final

from click.testing import CliRunner
from dramatiq.cli import make_argument_parser

from conftest import ROOT
from nexus_actors.cli import cli


#: Programs of ours, and that of dramatiq, whose arguments are checked.
OURS: Final = ("nexus-actors", "dramatiq", "make")

#: Programs that readers have, or that the page tells them to install.
FOREIGN: Final = (
    *("sudo", "apt-get", "brew", "pip", "python3", ".venv/bin/python", "."),
    *("docker", "kubectl", "systemctl", "useradd", "install", "cp", "curl", "eval"),
    "/opt/nexus-actors/bin/pip",
)

ASSIGNMENT: Final = re.compile(r"([A-Z][A-Z0-9_]*)=")


def check_shell(text: str, *, line: int) -> None:
    """Check each command and variable of a block, or fail."""
    for command in text.replace("\\\n", " ").splitlines():
        words = shlex.split(command, comments=True)
        if words:
            _check_words(words, f"line {line}: {command}")


def _check_words(words: list[str], told: str) -> None:
    words = words[1:] if words[0] == "export" else words
    while words and (found := ASSIGNMENT.match(words[0])):
        assert found[1] in known_settings(), f"{told}\n{found[1]} is no setting"
        words = words[1:]
    if not words:
        return
    program, *arguments = words
    if "nexus-actors" in arguments and program == "docker":
        program, *arguments = words[words.index("nexus-actors") :]
    if program == "nexus-actors":
        done = CliRunner().invoke(cli, [*arguments, "--help"])
        assert done.exit_code == 0, f"{told}\n{done.output}"
    elif program == "dramatiq":
        make_argument_parser().parse_args(arguments)
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", MAKEFILE, re.MULTILINE), told
    else:
        assert program in FOREIGN, f"{told}\nnobody knows {program!r}"


MAKEFILE: Final = (ROOT / "Makefile").read_text(encoding="utf-8")


@cache
def known_settings() -> set[str]:
    """Return the variables in the reference, which the code has written."""
    page = ROOT / "docs" / "reference" / "settings.md"
    return set(re.findall(r"`([A-Z][A-Z0-9_]+)`", page.read_text(encoding="utf-8")))


@cache
def known_metrics() -> set[str]:
    """Return the metrics in the reference, which the code has written."""
    page = ROOT / "docs" / "reference" / "metrics.md"
    return set(re.findall(r"`(nexus_\w+)`", page.read_text(encoding="utf-8")))
