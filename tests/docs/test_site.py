"""The pages as they are built: no warning, no dead link, every public name."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from lxml import html

from conftest import ROOT
from public import PUBLIC


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, or fail at the first warning."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet"]
    done = subprocess.run(
        [*build, "-b", "html", ROOT / "docs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built_and_found_from_the_first(site: Path) -> None:
    pages = {
        path.relative_to(ROOT / "docs").with_suffix(".html")
        for path in (ROOT / "docs").rglob("*.md")
        if path.name != "pypi.md"  # what PyPI shows
    }

    start = html.parse(site / "index.html")
    listed = {
        Path(str(link)) for link in start.xpath("//nav//a/@href | //aside//a/@href")
    }

    assert all((site / page).is_file() for page in pages)
    assert pages - {Path("index.html")} <= listed


def test_no_link_of_the_site_leads_nowhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))

    dead = [
        f"{page.relative_to(site)} -> {link}"
        for page in pages
        for link in links_of(page)
        if not leads_somewhere(page, link)
    ]

    assert len(pages) > 40
    assert not dead, "\n".join(dead)


@cache
def parsed(page: Path) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the anchors and the addresses in a page."""
    root = html.parse(page).getroot()
    links = root.xpath("//@href | //@src")
    return frozenset(root.xpath("//@id | //a/@name")), tuple(map(str, links))


def links_of(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead into the site."""
    for link in parsed(page)[1]:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            yield link


def leads_somewhere(page: Path, link: str) -> bool:
    """Tell whether there is the file, and in it the anchor."""
    path, anchor = urldefrag(link)
    target = page.parent / unquote(urlsplit(path).path) if path else page
    target = target.resolve()
    if not target.is_file():
        return False
    return not anchor or unquote(anchor) in parsed(target)[0]


#: Pages that are read in the repository, too.
READ_THERE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")


@pytest.mark.parametrize("name", READ_THERE)
def test_no_link_within_the_repository_leads_nowhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    inner = [link for link in links if not urlsplit(link).scheme]

    for link in inner:
        path, anchor = urldefrag(link)
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings_of(target), link


def headings_of(page: Path) -> set[str]:
    """Return the anchors that a forge gives to the headings of a page."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in found}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module: str, site: Path) -> None:
    names = import_module(module).__all__

    missing = [name for name in names if not is_documented(module, name, site)]

    assert not missing, f"{module}: name these in docs/reference/python.md: {missing}"


def is_documented(module: str, name: str, site: Path) -> bool:
    """Tell whether a page has an entry for a name; to mention it is not enough."""
    value = getattr(import_module(module), name)
    path = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    if {f"{module}.{name}", path} & inventory(site):
        return True
    short = module.removeprefix("nexus_actors").strip(".")
    return {f"{short}.{name}", name, f"{module}.{name}"}.intersection(
        entries()
    ) != set()


@cache
def inventory(site: Path) -> frozenset[str]:
    """Return the Python names that Sphinx has made entries for."""
    raw = (site / "objects.inv").read_bytes()
    lines = zlib.decompress(raw.split(b"\n", 4)[4]).decode().splitlines()
    return frozenset(line.split()[0] for line in lines if " py:" in line)


@cache
def entries() -> frozenset[str]:
    """Return what has a heading of its own, or a row in the table of errors."""
    folder = ROOT / "docs" / "reference"
    heads = [
        head
        for page in folder.glob("*.md")
        for head in re.findall(r"^#{2,4} (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    errors = re.findall(
        r"^\| `(\w+)` \|", (folder / "errors.md").read_text("utf-8"), re.MULTILINE
    )
    return frozenset([*heads, *errors])
