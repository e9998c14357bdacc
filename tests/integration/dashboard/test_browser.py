"""The dashboard in a real browser: seen, heard, pressed, and left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from conftest import ROOT, until
from dashboards import (
    HOSTILE,
    PAGES,
    Encoder,
    Failing,
    Serve,
    declared,
    die,
    publication,
)
from nexus_actors import RedisBroker, jobs, queues, schedule
from nexus_actors.social import State
from nexus_actors.social.desk import Desk
from queues import ended, working
from scale import scaled


pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("broker")]

AXE = ROOT / "tests" / "players" / "node_modules" / "axe-core" / "axe.min.js"

#: What of the rules of accessibility a page of ours breaks.
BROKEN = """async () => (await axe.run()).violations.map(
  each => `${each.impact} ${each.id}: ${each.nodes.map(n => n.html).join(' ')}`)"""


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open a page, which may report no error and ask no other host."""
    context = browser.new_context(**options)
    page = context.new_page()
    errors: list[str] = []

    def note(text: str) -> None:
        if not text.startswith("Failed to load resource"):  # what a test has stopped
            errors.append(text)

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda told: note(told.text))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    yield page
    context.close()
    assert errors == []
    home = "/".join(url.split("/")[:3])
    assert [to for to in asked if not to.startswith((home, "data:"))] == []


def test_the_progress_of_a_job_moves_by_itself_until_it_has_succeeded(
    broker: RedisBroker, serve_dashboard: Serve, browser: Browser
) -> None:
    encoder = Encoder()
    actor = declared(broker, encoder)

    with opened(browser, serve_dashboard(at="/jobs")) as page, working(broker):
        page.evaluate("window.isTheSame = true")
        expect(page.get_by_text("Nothing runs just now.")).to_be_visible()
        message = actor.send()
        bar = page.get_by_role("progressbar", name=f"Progress of {message.message_id}")
        expect(bar).to_have_js_property("value", 0.25)
        encoder.halfway.set()
        expect(bar).to_have_js_property("value", 0.75)
        expect(page.locator("#main")).to_contain_text("75% encode · 12 s left")
        encoder.end.set()
        expect(bar).to_have_count(0)
        end = page.get_by_role("row").filter(has_text="succeeded")
        expect(end).to_contain_text(message.message_id[:8])
        assert page.evaluate("window.isTheSame")


def test_a_dead_letter_is_run_again_with_the_keyboard_and_succeeds(
    broker: RedisBroker, serve_dashboard: Serve, browser: Browser
) -> None:
    body = Failing(HOSTILE)
    actor = declared(broker, body)
    first, second = die(broker, actor, HOSTILE, HOSTILE)

    with opened(browser, serve_dashboard(at="/dead")) as page:
        page.get_by_role("checkbox", name=first).press("Space")
        [third] = die(broker, actor, HOSTILE)
        expect(page.get_by_role("checkbox", name=third)).to_be_visible()
        expect(page.get_by_role("checkbox", name=first)).to_be_checked()
        expect(page.get_by_role("checkbox", name=first)).to_be_focused()
        body.is_mended = True
        page.get_by_role("button", name="Run again").press("Enter")
        said = page.get_by_role("status").filter(has_text="1 dead letter was let run")
        expect(said).to_be_visible()
        expect(page.get_by_role("checkbox", name=first)).to_have_count(0)
        page.get_by_role("link", name=second[:8]).click()
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        page.goto(page.url.split("/dead")[0] + f"/jobs/{first}")
        with working(broker):
            expect(page.locator(".head")).to_contain_text("succeeded")
        assert "hacked" not in page.title()

    record = jobs.get(first, broker=broker)
    assert record is not None
    assert record.state == "succeeded"


def test_a_scheduled_job_is_cancelled_after_a_question(
    broker: RedisBroker, serve_dashboard: Serve, browser: Browser
) -> None:
    actor = declared(broker, Encoder())
    kept, gone = (
        actor.send_with_options(kwargs={}, delay=timedelta(days=day)).message_id
        for day in (1, 2)
    )

    with opened(browser, serve_dashboard(at="/schedule")) as page:
        page.locator(f"summary[aria-label~='{gone}']").last.press("Enter")
        question = page.get_by_role("button", name="Cancel the job")
        expect(question).to_be_visible()
        page.keyboard.press("Escape")
        expect(question).to_be_hidden()
        page.locator(f"summary[aria-label~='{gone}']").last.press("Enter")
        question.click()
        expect(
            page.get_by_text("The job is cancelled and will not run.")
        ).to_be_visible()

    assert [job.job for job in schedule.upcoming()] == [kept]


def test_without_a_script_a_queue_is_paused_and_resumed(
    broker: RedisBroker, serve_dashboard: Serve, browser: Browser
) -> None:
    declared(broker, Encoder()).send()

    with opened(browser, serve_dashboard(at="/"), java_script_enabled=False) as page:
        expect(page.get_by_role("button", name="Live")).to_be_hidden()
        page.get_by_role("button", name="Pause tests").press("Enter")
        expect(page.get_by_role("status")).to_contain_text("Queue tests is paused")
        paused = queues.is_paused("tests")
        page.get_by_role("button", name="Resume tests").press("Enter")
        expect(page.get_by_role("status")).to_contain_text("Queue tests goes on.")

    assert paused
    assert not queues.is_paused("tests")


def test_a_publication_is_settled_by_who_has_looked(
    broker: RedisBroker, serve_dashboard: Serve, browser: Browser, desk: Desk
) -> None:
    row = publication(desk, "Why the sea is blue")

    with opened(browser, serve_dashboard(at="/publications")) as page:
        table = page.get_by_role("region", name="Unconfirmed")
        table.get_by_role("link", name=row.id[:8]).click()
        page.get_by_label("It is there").check()
        page.get_by_label("Its id on tiktok").fill("7388")
        declared(broker, Encoder()).send()
        expect(page.get_by_role("link", name="Queues 1")).to_be_visible()
        expect(page.get_by_label("Its id on tiktok")).to_have_value("7388")
        page.get_by_role("button", name="Settle").click()
        expect(page.get_by_text("Noted: the publication is published.")).to_be_visible()

    settled = desk.table.get(row.id)
    assert (settled.state, settled.remote_id) == (State.PUBLISHED, "7388")


def test_live_can_be_switched_off_and_an_outage_is_told(
    serve_dashboard: Serve, browser: Browser
) -> None:
    with opened(browser, serve_dashboard(at="/jobs")) as page:
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_role("button", name="Live")).to_have_attribute(
            "aria-pressed", "false"
        )
        page.route("**/jobs", lambda route: route.fulfill(status=503, body="away"))
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_text("Not up to date: answer 503")).to_be_visible()
        page.unroute("**/jobs")
        page.get_by_role("button", name="Live").click()
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_text("Not up to date")).to_be_hidden()


Theme = Literal["light", "dark"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read_by_everybody_on_a_phone_and_on_a_desk(
    broker: RedisBroker,
    serve_dashboard: Serve,
    browser: Browser,
    desk: Desk,
    theme: Theme,
) -> None:
    [dead] = die(broker, declared(broker, Failing("no such file")), "x" * 400)
    encoder = Encoder()
    actor = declared(broker, encoder)
    later = actor.send_with_options(kwargs={}, delay=timedelta(days=1)).message_id
    queues.pause("others")
    row = publication(desk, "W" * 120)
    publication(desk, "Held", state=State.HELD)
    named = [f"/jobs/{dead}", f"/jobs/{later}", f"/publications/{row.id}"]
    named += [f"/dead/letter?queue=tests&id={dead}", "/no-such-page"]
    url = serve_dashboard()
    is_light = theme == "light"
    every = scaled(False, full=True)  # else each page is looked at in one theme
    paths = [*PAGES, *named]

    with working(broker):
        message = actor.send()
        until(lambda: _progress(message.message_id, broker))
        paths.append(f"/jobs/{message.message_id}")
        context = browser.new_context(color_scheme=theme)
        page = context.new_page()
        for path in paths if every else paths[0 if is_light else 1 :: 2]:
            for width in (1280, 375):
                page.set_viewport_size({"width": width, "height": 800})
                if width == 1280:
                    page.goto(url + path)
                    page.evaluate(AXE.read_text("utf-8"))
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, path
                if every or width == (375 if is_light else 1280):
                    found = page.evaluate(BROKEN)
                    assert found == [], f"{path} at {width}"
        context.close()
        encoder.halfway.set()
        encoder.end.set()
        ended(message, broker)


def _progress(job: str, broker: RedisBroker) -> bool:
    record = jobs.get(job, broker=broker)
    return record is not None and record.progress is not None
