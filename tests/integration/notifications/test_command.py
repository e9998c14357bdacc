"""The command that shows what notifications say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Page

from nexus_actors.cli import cli
from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.notifications.errors import TemplateError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["templates", *arguments])


def told(*arguments: str) -> Any:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_list_says_what_a_template_needs() -> None:
    found = {each["template"]: each for each in told("list")}

    welcome = found["email-welcome"]
    assert welcome["needs"] == {"name": "text", "dashboard_url": "link"}
    assert welcome["channels"] == ["email", "sms", "push", "slack"]
    assert all(each["about"] for each in found.values())


def test_a_template_is_rendered_with_given_values(tmp_path: Path) -> None:
    values = {"name": "Bob", "dashboard_url": "https://a.example"}
    (tmp_path / "values.json").write_text(json.dumps(values))

    mail = told("render", "email-welcome", "--data", "@values.json", "--locale", "de")
    sms = told("render", "email-welcome", "--type", "sms")

    assert mail["subject"] == "Willkommen bei Nexus, Bob"
    assert "welcome, Ann" in sms["body"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("render", "no-such"), TemplateError),
        (("render", "email-welcome", "--data", "{"), InvalidRequestError),
        (("render", "email-welcome", "--data", "[]"), InvalidRequestError),
        (("render", "email-welcome", "--data", "@none.json"), InvalidRequestError),
        (("render", "email-welcome", "--data", "{}"), TemplateError),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: tuple[str, ...], error: type[Exception]
) -> None:
    result = run(*arguments)

    assert isinstance(result.exception, error)
    assert "\n" not in str(result.exception)


@pytest.mark.browser
def test_a_preview_shows_the_mail_at_both_widths_and_schemes(
    page: Page, tmp_path: Path
) -> None:
    names = [each["template"] for each in told("list")]
    for name in names:
        told("preview", name)
        for scheme, dark in (("light", False), ("dark", True)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for width in (375, 1200):
                page.set_viewport_size({"width": width, "height": 800})
                page.goto(f"file://{tmp_path}/nexus-preview/{name}.mail.html")
                seen = page.evaluate(
                    """() => ({
                        width: document.documentElement.scrollWidth,
                        ink: getComputedStyle(document.querySelector('h1')).color,
                        button: document.querySelector('.button a')
                            .getBoundingClientRect().height,
                    })"""
                )
                assert seen["width"] <= width, name
                assert seen["button"] >= 44, name
                assert (seen["ink"] == "rgb(233, 236, 244)") == dark, name
    page.goto(f"file://{tmp_path}/nexus-preview/{names[0]}.html")
    assert page.locator("iframe").count() == 2
    assert page.locator("pre").count() == 4
