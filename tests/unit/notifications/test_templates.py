from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import lxml.html
import pytest

from nexus_actors.notifications.content import Channel
from nexus_actors.notifications.errors import TemplateError
from nexus_actors.notifications.settings import NotificationSettings
from nexus_actors.notifications.templates import Templates, web_url
from nexus_actors.notifications.text import segments


def make(**more: Any) -> Templates:
    values = {
        "app_name": "Tube",
        "app_support": "help@tube.example",
        "preferences_url": "https://tube.example/prefs",
    }
    return Templates(NotificationSettings.load(values | more))


TEMPLATES = make()
NAMES = TEMPLATES.names()

THOSE_OF_THE_ORIGINAL = {
    "email-welcome",
    "publishing-success",
    "video-processing-complete",
}


def sample(template: str, **more: Any) -> dict[str, Any]:
    return {**TEMPLATES.meta(template).sample, "zone": "Europe/Berlin", **more}


def seen(html: str) -> str:
    """Return what a person reads."""
    page: Any = lxml.html.fromstring(html)
    for part in page.xpath("//style|//head|//*[contains(@class, 'hidden')]"):
        part.drop_tree()
    return " ".join(page.text_content().split())


def test_all_that_were_promised_are_there() -> None:
    assert set(NAMES) >= THOSE_OF_THE_ORIGINAL | {
        "account-needs-reauthorization",
        "analytics-report",
        "anomaly-alert",
        "publishing-failed",
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("locale", ["en", "de-AT"])
def test_each_says_the_same_by_every_channel(name: str, locale: str) -> None:
    values = sample(name)

    mail = TEMPLATES.mail(name, values, locale)
    push = TEMPLATES.push(name, values, locale)
    slack = TEMPLATES.slack(name, values, locale)
    sms = TEMPLATES.sms(name, values, locale)

    assert set(TEMPLATES.channels(name)) == set(Channel) - {Channel.WEBHOOK}
    titles = [n for n in TEMPLATES.meta(name).needs if n.endswith("title")]
    need = str(values[titles[0]]) if titles else ""
    links = [str(v) for v in values.values() if str(v).startswith("https://tube")]
    for text in (mail["text"], seen(mail["html"])):
        assert need in text
        assert any(link in text for link in links)
        assert "Tube" in text
        assert "https://tube.example/prefs" in mail["html"]
    assert need in mail["subject"]
    assert 20 <= len(mail["preheader"]) <= 110
    assert len(push["title"]) <= 50
    assert len(push["body"]) <= 150
    assert segments(sms).count <= 2
    assert segments(sms).encoding == "GSM-7"
    assert slack["text"]
    assert not re.search(r"{{|{%", json.dumps([mail, push, slack, sms]))


@pytest.mark.parametrize("name", NAMES)
def test_a_mail_is_what_mail_programs_can_show(name: str) -> None:
    html = TEMPLATES.mail(name, sample(name), "en")["html"]
    page: Any = lxml.html.fromstring(html)

    assert page.get("lang") == "en"
    assert len(html.encode()) < 20_000
    assert not page.xpath("//svg|//script|//form|//iframe|//link|//video")
    assert not re.search(r"flex|grid|position:|url\(|@import|@font-face", html)
    assert all(image.get("alt") is not None for image in page.xpath("//img"))
    assert len(page.xpath("//h1")) == 1
    [style] = page.xpath("//style")
    assert "prefers-color-scheme: dark" in style.text
    [button] = page.xpath("//td[@class='button']/a")
    assert "padding" in button.get("style")  # inlined: Gmail's app drops the rest
    sizes = [float(s) for s in re.findall(r"font-size: ?([\d.]+)px", html)]
    assert sorted(set(sizes))[:2] in ([1, 14], [14, 16])  # 1: of the hidden preheader


def test_a_language_that_is_missing_falls_back_as_a_whole() -> None:
    german = TEMPLATES.mail("email-welcome", sample("email-welcome"), "de-CH")
    other = TEMPLATES.mail("anomaly-alert", sample("anomaly-alert"), "de-CH")

    assert german["subject"] == "Willkommen bei Tube, Ann"
    assert 'lang="de"' in german["html"]
    assert "weil du ein Konto" in german["text"]
    # nothing of its frame is German either
    assert 'lang="en"' in other["html"]
    assert "because you have an account" in other["text"]


def test_the_originals_names_of_values_are_understood() -> None:
    mail = TEMPLATES.mail(
        "email-welcome", {"name": "Ann", "dashboardUrl": "https://a.example/d"}, "en"
    )

    assert "https://a.example/d" in mail["text"]


def test_a_value_that_is_missing_is_named_and_nothing_is_rendered() -> None:
    with pytest.raises(TemplateError, match="lacks name, dashboard_url"):
        TEMPLATES.mail("email-welcome", {}, "en")
    with pytest.raises(TemplateError, match="no template 'email-hello'; there are"):
        TEMPLATES.mail("email-hello", {}, "en")
    with pytest.raises(TemplateError, match="no template"):
        TEMPLATES.mail("../../etc", {}, "en")


HOSTILE = {
    "template": "{{7*7}} {% raw %} {{ ''.__class__.__mro__ }}",
    "markup": "</td><script>alert(1)</script><img src=x onerror=alert(1)>",
    "entity": "A & B < C > \"D\" 'E'",
    "header": "Hi\r\nBcc: all@example.com\r\n\r\nbody",
    "override": "\u202egnp.exe\u202c \u2066x\u2069",
    "control": "a\x00b\x1b[31mc\u2028d",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪é" * 20,
    "slack": "<!channel> <@U123> <https://evil.example|Bank>",
    "json": '"}], "channel": "C666", "x": [{"',
    "long": "lorem ipsum " * 90_000,
    "accents": "e" + "\u0301" * 100_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_users_type_is_text_wherever_it_stands(kind: str) -> None:
    evil = HOSTILE[kind]
    name = "video-processing-complete"
    values = sample(name, video_title=evil, name=evil)
    shape = TEMPLATES.slack(name, sample(name), "en")

    mail = TEMPLATES.mail(name, values, "en")
    push = TEMPLATES.push(name, values, "en")
    slack = TEMPLATES.slack(name, values, "en")

    page: Any = lxml.html.fromstring(mail["html"])
    assert not page.xpath("//script")
    assert not page.xpath("//*[@onerror]")
    assert "\n" not in mail["subject"] + mail["preheader"] + push["title"]
    whole = json.dumps([mail, push, slack], ensure_ascii=False)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b\u2028]", whole)
    assert len(whole) < 40_000
    assert "49" not in mail["subject"]
    text = slack["blocks"][1]["text"]["text"]
    assert not re.search(r"<(?!https://tube)", text + slack["text"])
    assert [sorted(block) for block in slack["blocks"]] == [
        sorted(block) for block in shape["blocks"]
    ]
    if kind == "entity":
        assert evil in mail["text"]
        assert evil in seen(mail["html"])
        assert "&amp;" not in mail["subject"]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://a.b/ c",
        'https://a/"x',
        "//a",
    ],
)
def test_a_link_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(TemplateError, match="must begin with https"):
        web_url(url)
    with pytest.raises(TemplateError, match="must begin with https"):
        TEMPLATES.mail("email-welcome", {"name": "A", "dashboard_url": url}, "en")


def test_a_host_overrides_files_and_adds_folders(tmp_path: Path) -> None:
    (tmp_path / "email-welcome").mkdir()
    (tmp_path / "email-welcome" / "subject.txt").write_text("Hi {{ name }}!\n")
    (tmp_path / "trial-ends").mkdir()
    (tmp_path / "trial-ends" / "meta.toml").write_text(
        'category = "billing"\n[needs]\ndays = "number"\n'
    )
    for part, text in {
        "subject.txt": "{{ days }} days left",
        "preheader.txt": "Then it ends",
        "body.html": '{% extends "_layout/mail.html" %}'
        "{% block main %}<h1>{{ days }} days</h1>{% endblock %}",
        "body.txt": '{% extends "_layout/mail.txt" %}'
        "{% block main %}{{ days }} days{% endblock %}",
    }.items():
        (tmp_path / "trial-ends" / part).write_text(text)
    templates = make(templates=str(tmp_path))

    welcome = templates.mail("email-welcome", sample("email-welcome"), "en")
    trial = templates.mail("trial-ends", {"days": 3}, "en")

    assert welcome["subject"] == "Hi Ann!"
    assert "This is how your first video" in welcome["text"]
    assert trial["subject"] == "3 days left"
    assert "3 days" in seen(trial["html"])
    assert templates.channels("trial-ends") == [Channel.EMAIL]
    assert "trial-ends" in templates.names()


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ days.__class__ }}", "does what it may not|undefined"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "may not"),
        ("{% include '../../../etc/passwd' %}", "is broken"),
        ("{{ days", "is broken"),
        ("{{ 'x' * days }}", "segments"),
        ("{% set x = [] %}{{ x.append(1) }}", "may not"),
    ],
)
def test_a_broken_template_says_which_and_why(
    tmp_path: Path, source: str, complaint: str
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "meta.toml").write_text("")
    (tmp_path / "own" / "sms.txt").write_text(source)
    templates = make(templates=str(tmp_path))

    with pytest.raises(TemplateError, match=complaint) as caught:
        templates.sms("own", {"days": 10**6}, "en")

    assert caught.value.message.startswith("own")
