"""Somebody new, who has an empty folder and the pages."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import requests

from conftest import ROOT
from pages import Reader, blocks_of
from servers import free_port


TUTORIAL = ROOT / "docs" / "tutorial" / "upload-platform.md"

#: The one command that is not run as it stands: PyPI has no wheel of this tree.  What
#: it would install, this environment has.
INSTALL = 'pip install "nexus-actors[all]" fastapi uvicorn'
LEND = (
    'python -c "import site, sys; '
    "open(site.getsitepackages()[0] + '/lent.pth', 'w')"
    f".write('import site; site.addsitedir({{!r}})'.format(sys.argv[1]))\" "
    f"{sysconfig.get_path('purelib')}"
)


def test_a_newcomer_gets_from_an_empty_folder_to_the_report(
    redis_url: str, tmp_path: Path
) -> None:
    app, sandbox, folder = free_port(), free_port(), tmp_path / "empty"
    folder.mkdir()
    places = [Path(sys.base_prefix) / "bin", *os.environ["PATH"].split(os.pathsep)]
    environ = {
        "PATH": os.pathsep.join([*map(str, places), str(Path(sys.executable).parent)]),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "REDIS_URL": redis_url,
        "HEALTH_CHECK_PORT": "0",  # other tests use this machine, too
    }
    own = {INSTALL: LEND, "8000": str(app), "8200": str(sandbox)}
    reader = Reader(folder, environ, Path(), own)
    try:
        for block in blocks_of(TUTORIAL):
            reader.do(block)
        told = reader.printed[-1].strip()
        page = requests.get(told, timeout=30).text
    finally:
        reader.close()

    assert told.startswith(f"http://127.0.0.1:{app}/media/reports/")
    assert "views so far" in page
    assert "Sunrise" in page
