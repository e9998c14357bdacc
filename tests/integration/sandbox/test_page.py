from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from nexus_actors.testing.sandbox import SandboxClient


pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, nexus_sandbox: SandboxClient) -> Iterator[Page]:
    """The page, open; it may report no error and ask no other host."""
    page = browser.new_page()
    errors: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(nexus_sandbox.url)
    yield page
    page.close()
    assert errors == []
    ours = (nexus_sandbox.url, "data:")
    assert [url for url in asked if not url.startswith(ours)] == []


def test_what_arrives_is_shown_as_text_and_a_reset_is_noticed(
    page: Page, nexus_sandbox: SandboxClient
) -> None:
    hostile = "<img src=x onerror=document.title='hacked'>"
    lines = page.locator("#requests summary")

    requests.post(f"{nexus_sandbox.url}/webhook/orders", hostile, timeout=10)
    expect(lines).to_have_count(1)
    lines.first.press("Enter")
    expect(page.get_by_text(hostile)).to_be_visible()
    expect(lines.first).to_contain_text("401")
    nexus_sandbox.reset()
    expect(lines).to_have_count(0)
    requests.post(f"{nexus_sandbox.url}/webhook/invoices", timeout=10)

    expect(lines).to_have_count(1)
    expect(lines.first).to_contain_text("/webhook/invoices")
    assert page.title() == "Sandbox"


def test_a_fault_is_set_with_the_keyboard_and_shown_when_it_has_acted(
    page: Page, nexus_sandbox: SandboxClient
) -> None:
    page.get_by_label("Add a fault").select_option("gone")
    page.get_by_role("button", name="Set script").press("Enter")
    expect(page.locator("#faults")).to_contain_text('"status":410')

    answer = requests.post(f"{nexus_sandbox.url}/webhook/orders", timeout=10)

    assert answer.status_code == 410
    expect(page.locator("#faults")).to_contain_text("acted on 1")


def test_a_script_that_makes_no_sense_is_refused_with_the_reason(page: Page) -> None:
    page.get_by_label("New script").fill('[{"action": "explode"}]')
    page.get_by_role("button", name="Set script").click()

    expect(page.get_by_role("alert")).to_contain_text("0.action")
