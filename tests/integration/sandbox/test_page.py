from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from nexus_actors.testing.sandbox import SandboxClient
from web import web


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


def is_refused(request: Request) -> bool:
    return request.failure == "csp"


@pytest.fixture
def page(browser: Browser, nexus_sandbox: SandboxClient) -> Iterator[Page]:
    """The page, open; it may report no error and ask no other host."""
    page = browser.new_page()
    errors: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    refused: list[str] = []  # by the page's policy, and told all the same
    page.on("requestfailed", lambda r: refused.append(r.url) if is_refused(r) else None)
    page.goto(nexus_sandbox.url)
    expect(page.get_by_label("New script")).to_have_value("[]")  # it has looked once
    yield page
    page.close()
    assert errors == []
    ours = (nexus_sandbox.url, "data:", *refused)
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


def send_mail(sandbox: SandboxClient, subject: str, html: str = "<p>x</p>") -> None:
    answer = requests.post(
        f"{sandbox.url}/sendgrid/v3/mail/send",
        json={
            "personalizations": [{"to": [{"email": "ann@example.com"}]}],
            "from": {"email": "us@example.com"},
            "subject": subject,
            "content": [
                {"type": "text/plain", "value": "The text part"},
                {"type": "text/html", "value": html},
            ],
        },
        headers={"Authorization": "Bearer SG.sandbox.sandbox"},
        timeout=10,
    )
    assert answer.status_code == 202


def test_a_mail_is_shown_as_it_looks_and_can_do_nothing(
    page: Page, nexus_sandbox: SandboxClient
) -> None:
    with web() as elsewhere:
        html = f"""<h1>Ready</h1><img src="{elsewhere.url("/pixel")}" alt="thumbnail">
            <link rel="stylesheet" href="{elsewhere.url("/style")}">
            <script>parent.document.title = "hacked"</script>
            <a href="{elsewhere.url("/link")}">Watch</a>"""
        send_mail(nexus_sandbox, "Your video is <b>ready</b>", html)
        mail = page.locator("#truth details").first
        mail.locator("summary").press("Enter")
        inside = page.frame_locator("#truth iframe")

        expect(inside.get_by_role("heading", name="Ready")).to_be_visible()
        inside.get_by_text("Watch").click()
        page.locator("#send").click()  # the page goes on, and time has passed
        expect(page.locator("#due")).to_have_text("0 due")

    assert elsewhere.requests == []
    expect(mail.get_by_text("Your video is <b>ready</b>", exact=True)).to_be_visible()
    expect(mail.get_by_text("to ann@example.com")).to_be_visible()
    expect(mail.get_by_text("The text part", exact=True)).to_be_visible()
    assert page.title() == "Sandbox"


def test_a_mail_that_is_being_read_stays_when_the_next_arrives(
    page: Page, nexus_sandbox: SandboxClient
) -> None:
    send_mail(nexus_sandbox, "First")
    page.locator("#truth summary").first.click()
    page.locator("#truth iframe").evaluate("frame => { frame.beingRead = true }")

    send_mail(nexus_sandbox, "Second")

    expect(page.locator("#truth summary")).to_have_count(2)
    expect(page.locator("#truth summary").first).to_contain_text("Second")
    assert page.evaluate("document.querySelector('#truth iframe').beingRead")
    nexus_sandbox.reset()
    expect(page.locator("#truth summary")).to_have_count(0)
    expect(page.get_by_text("Nothing yet.")).to_be_visible()


def test_what_is_said_by_sms_push_and_chat_is_readable(
    page: Page, nexus_sandbox: SandboxClient
) -> None:
    account, token = "AC" + "1".zfill(32), "2".zfill(32)
    push = {"fid": "f1", "notification": {"title": "Ready", "body": "Have a look"}}
    blocks = [{"type": "header", "text": {"type": "plain_text", "text": "Published"}}]

    requests.post(
        f"{nexus_sandbox.url}/twilio/2010-04-01/Accounts/{account}/Messages.json",
        {"To": "+14155550123", "From": "+15005550006", "Body": "Your code is 1234"},
        auth=(account, token),
        timeout=10,
    )
    requests.post(
        f"{nexus_sandbox.url}/fcm/v1/projects/nexus-sandbox/messages:send",
        json={"message": push},
        headers={"Authorization": "Bearer ya29.sandbox"},
        timeout=10,
    )
    requests.post(
        f"{nexus_sandbox.url}/slack/api/chat.postMessage",
        json={"channel": "#videos", "blocks": blocks},
        headers={"Authorization": "Bearer xoxb-sandbox"},
        timeout=10,
    )
    expect(page.locator("#truth summary")).to_have_count(3)
    for line in page.locator("#truth summary").all():
        line.press("Enter")

    shown = page.locator("#truth .said, #truth .title").all_inner_texts()
    for text in (
        *("to +14155550123", "Your code is 1234"),
        *("to fid f1", "Ready", "Have a look"),
        *("to #videos", "Published"),
    ):
        assert text in shown


def test_callbacks_are_sent_with_a_button_and_their_outcome_is_shown(
    page: Page, nexus_sandbox: SandboxClient
) -> None:
    with web() as host:
        nexus_sandbox.settings(
            sendgrid={"webhook_url": host.url("/events"), "step_s": 3600}
        )
        send_mail(nexus_sandbox, "Welcome")
        expect(page.locator("#due")).to_have_text("1 due")

        page.get_by_role("button", name="Send what is due").press("Enter")

        expect(page.locator("#callbacks")).to_contain_text(host.url("/events"))
        expect(page.locator("#callbacks .good")).to_have_text("200")
        expect(page.locator("#due")).to_have_text("0 due")
    assert len(host.requests) == 1


@pytest.mark.parametrize("width", [375, 1200])
def test_nothing_is_wider_than_the_screen(
    page: Page, nexus_sandbox: SandboxClient, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    send_mail(nexus_sandbox, "W" * 300, "<table width=2000><tr><td>x</td></tr></table>")
    page.locator("#truth summary").first.press("Enter")

    expect(page.locator("#truth iframe")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_post_is_read_and_its_film_played(
    page: Page, nexus_sandbox: SandboxClient, clip: Path
) -> None:
    youtube = f"{nexus_sandbox.url}/youtube"
    insert = f"{youtube}/upload/youtube/v3/videos?part=snippet,status"
    token = {"Authorization": "Bearer ya29.sandbox-access-token"}
    body = {
        "snippet": {"title": "A walk"},
        "status": {"privacyStatus": "private", "publishAt": "2099-01-02T03:04:05Z"},
    }
    opened = requests.post(
        f"{insert}&uploadType=resumable", json=body, headers=token, timeout=10
    )
    requests.put(opened.headers["Location"], clip.read_bytes(), timeout=10)

    post = page.locator("#posts summary")
    expect(post).to_contain_text("A walk")
    post.press("Enter")

    expect(page.get_by_text("2099-01-02 03:04:05 UTC")).to_be_visible()
    seconds = page.locator("#posts video").evaluate(
        """film => film.duration || new Promise(tell => {
          film.onloadedmetadata = () => tell(film.duration);
          film.onerror = () => tell(film.error.message);
        })"""
    )
    assert seconds > 0
