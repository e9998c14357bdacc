"""Headless Chromium, and a folder that it may fetch from."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from nexus_actors.cli.serve import Site


#: No sandbox inside of containers; nothing is fetched but what a test serves.
FLAGS: Final = (
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def lacks(what: str) -> NoReturn:
    """Skip on a desk; fail where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        lacks("Chromium is not installed: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    yield opened
    opened.close()


Serve = Callable[[Path], str]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serve a folder over HTTP; return its address."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(served(folder))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    site = Site.open(folder, 0)
    thread = threading.Thread(target=site.serve)
    thread.start()
    yield site.address
    site.stop()
    thread.join()
