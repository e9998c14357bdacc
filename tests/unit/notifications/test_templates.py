from __future__ import annotations

import json
import re
import shutil
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_actors.notifications.content import Channel
from nexus_actors.notifications.errors import TemplateError
from nexus_actors.notifications.news import OUR_FAULT, POST_REASONS, REASONS, REFUSED
from nexus_actors.notifications.rendering import web_url
from nexus_actors.notifications.settings import NotificationSettings
from nexus_actors.notifications.templates import Templates
from nexus_actors.notifications.text import segments
from nexus_actors.sandbox.vendors.slack.blocks import problems


def make(**more: Any) -> Templates:
    values = {
        "app_name": "Tube",
        "app_support": "help@tube.example",
        "preferences_url": "https://tube.example/prefs",
    }
    return Templates(NotificationSettings.load(values | more))


TEMPLATES = make()
NAMES = TEMPLATES.names()
CATALOG = Path(str(files("nexus_actors.notifications") / "catalog"))

#: What JSON can hold; also names that templates know, and halves of characters.
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=40)
    | st.sampled_from(["https://a.example/x", "9999-12-31T23:59:59-23:59", "a" * 999]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "value", "change", "title", "url", "error", "at"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)

#: Languages that every template has, and all of its texts in each.
LANGUAGES = ["en", "de", "es", "fr", "ar"]

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
        "video-processing-failed",
    }


@pytest.mark.parametrize("name", ["_layout", *NAMES])
def test_every_text_is_there_in_every_language(name: str) -> None:
    texts = tomllib.loads((CATALOG / name / "words.toml").read_text("utf-8"))

    assert list(texts) == LANGUAGES
    for tag in LANGUAGES:
        assert list(texts[tag]) == list(texts["en"]), tag
    said = [t for tag in LANGUAGES for t in texts[tag].items() if len(t[1]) > 20]
    assert len(set(said)) == len(said)  # none is left in another's language


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("locale", [*LANGUAGES, "de-AT"])
def test_each_says_the_same_by_every_channel(name: str, locale: str) -> None:
    values = sample(name)

    mail = TEMPLATES.mail(name, values, locale)
    push = TEMPLATES.push(name, values, locale)
    slack = TEMPLATES.slack(name, values, locale)
    sms = TEMPLATES.sms(name, values, locale)

    assert set(TEMPLATES.channels(name)) == set(Channel) - {Channel.WEBHOOK}
    titles = [n for n in values if n.endswith("title")]
    need = str(values[titles[0]]) if titles else ""
    links = [str(v) for v in values.values() if str(v).startswith("https://tube")]
    for text in (mail["text"], seen(mail["html"])):
        assert need in text
        assert any(link in text for link in links)
        assert "Tube" in text
        assert "https://tube.example/prefs" in mail["html"]
    assert need in mail["subject"]
    assert 30 <= len(mail["preheader"]) <= 110
    assert len(push["title"]) <= 50
    assert len(push["body"]) <= 150
    assert segments(sms).count <= 2
    assert segments(sms).encoding == ("UCS-2" if locale == "ar" else "GSM-7")
    assert need in slack["text"] + slack["blocks"][1]["text"]["text"]
    assert not re.search(r"{{|{%", json.dumps([mail, push, slack, sms]))
    page: Any = lxml.html.fromstring(mail["html"])
    assert page.get("lang") == locale.partition("-")[0]
    assert page.get("dir") == ("rtl" if locale == "ar" else "ltr")


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


def test_a_language_that_is_missing_falls_back_as_a_whole(tmp_path: Path) -> None:
    own = tmp_path / "email-welcome"
    own.mkdir()
    (own / "words.toml").write_text('[de-CH]\nsubject = "Sali {{ name }}"\n')
    (tmp_path / "anomaly-alert").mkdir()
    shutil.copy(CATALOG / "anomaly-alert" / "body.html", tmp_path / "anomaly-alert")
    templates = make(templates=str(tmp_path))

    swiss = templates.mail("email-welcome", sample("email-welcome"), "de_CH")
    dutch = templates.mail("email-welcome", sample("email-welcome"), "nl")
    other = templates.mail("anomaly-alert", sample("anomaly-alert"), "de-CH")

    # text by text: the host's, then that of the language
    assert swiss["subject"] == "Sali Ann"
    assert "weil du ein Konto" in swiss["text"]
    assert 'lang="de"' in swiss["html"]
    # nothing of its frame is Dutch either
    assert 'lang="en"' in dutch["html"]
    assert "because you have an account" in dutch["text"]
    # a part that a host has replaced speaks the language that it is written in
    assert 'lang="en"' in other["html"]
    assert "because you have an account" in other["html"]


def test_a_time_is_written_in_the_readers_language_and_zone() -> None:
    def seen_at(value: Any, locale: str) -> str:
        values = sample("anomaly-alert", seen_at=value)
        text = TEMPLATES.mail("anomaly-alert", values, locale)["text"]
        return text.partition({"en": "Seen: ", "de": "Gesehen: "}[locale])[2]

    assert seen_at("2026-03-29T00:59:00Z", "de").startswith("29. März 2026, 01:59 CET")
    assert seen_at(1774746000, "en").startswith("29 Mar 2026, 03:00 CEST")
    assert seen_at("2026-03-29", "en").startswith("29 Mar 2026\n")
    assert seen_at("this morning", "en").startswith("this morning\n")


def test_a_reason_is_a_code_with_words_in_every_language_or_the_hosts_own() -> None:
    def text(reason: str, locale: str) -> str:
        values = sample("video-processing-failed", reason=reason)
        return TEMPLATES.mail("video-processing-failed", values, locale)["text"]

    assert "Grund: Die Datei ist kein Video." in text("not_media", "de")
    assert "Motivo: No me gusta." in text("No me gusta.", "es")
    english = tomllib.loads(
        (CATALOG / "video-processing-failed/words.toml").read_text()
    )
    assert {f"reason_{code}" for code in {*REASONS, OUR_FAULT}} <= set(english["en"])
    posts = tomllib.loads((CATALOG / "publishing-failed/words.toml").read_text())
    codes = {*POST_REASONS.values(), REFUSED}
    assert {f"reason_{code}" for code in codes} <= set(posts["en"])


def test_what_is_unusual_of_a_whole_account_is_told_in_the_readers_language() -> None:
    values = sample("anomaly-alert", account_name="Ann & Co")
    del values["post_title"]

    mail = TEMPLATES.mail("anomaly-alert", values, "es")
    slack = TEMPLATES.slack("anomaly-alert", values, "fr")

    assert mail["subject"].endswith(": todas las publicaciones de Ann & Co")
    assert "todas las publicaciones de Ann & Co" in seen(mail["html"])
    assert "toutes les publications de Ann &amp; Co" in slack["text"]


@given(st.data())
def test_whatever_values_are_they_are_rendered_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    values = sample(name)
    for key in data.draw(st.sets(st.sampled_from([*values, "zone", "app", "words"]))):
        values[key] = data.draw(ANYTHING)

    for render in (TEMPLATES.mail, TEMPLATES.sms, TEMPLATES.push, TEMPLATES.slack):
        try:
            rendered = render(name, values, data.draw(st.sampled_from(LANGUAGES)))
        except TemplateError:
            continue
        json.dumps(rendered, ensure_ascii=False, allow_nan=False).encode()


def test_a_report_needs_nothing_but_its_period() -> None:
    bare = TEMPLATES.mail(
        "analytics-report", {"period": "November", "zone": "UTC"}, "en"
    )
    whole = TEMPLATES.mail("analytics-report", sample("analytics-report"), "en")

    assert bare["preheader"] == "Your figures, November."
    for text in (whole["text"], seen(whole["html"])):
        for answer in ("128,402", "+12 %", "114,645", "22 Nov 2026", "12 posts"):
            assert answer in text
        assert re.search(
            r"Best post:? ?Sunrise over the harbour \(TikTok\): 78,325", text
        )
        assert re.search(r"Weakest post:? ?How we edit \(YouTube\): 212", text)


def test_a_title_is_cut_until_the_text_message_is_carried_by_two() -> None:
    values = sample("video-processing-complete", video_title="👩‍👩‍👧‍👦" * 60)

    sms = TEMPLATES.sms("video-processing-complete", values, "en")

    assert segments(sms).count == 2
    assert sms.endswith('…" is ready: https://tube.example/v/123')


def test_what_slack_limits_is_cut_and_its_links_are_whole() -> None:
    link = "https://tube.example/p?a=1&b=2"
    results = [{"platform": f"P{n}", "url": f"{link}&n={'9' * 300}"} for n in range(40)]
    values = sample("publishing-success", results=results, post_url=link)

    blocks = TEMPLATES.slack("publishing-success", values, "en")["blocks"]

    assert not list(problems(blocks))
    assert sum(block["type"] == "section" for block in blocks) == 5
    assert blocks[-1]["elements"][0]["url"] == link  # no text: nothing is escaped
    assert "a=1&amp;b=2" in blocks[1]["text"]["text"]
    TEMPLATES.mail("publishing-success", values, "en")  # and Gmail shows all of it


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
    "half": "cut by a program \ud83d",
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
    assert not re.search(
        "[\u202a-\u202e\u2066-\u2069\x00\x1b\u2028\ud800-\udfff]", whole
    )
    assert len(whole) < 40_000
    assert "49" not in mail["subject"]
    text = slack["blocks"][1]["text"]["text"]
    assert not re.search(r"<(?!https://tube)", text + slack["text"])
    assert slack["blocks"][1]["text"]["verbatim"]  # no bare address is made a link
    assert [sorted(block) for block in slack["blocks"]] == [
        sorted(block) for block in shape["blocks"]
    ]
    if kind == "entity":
        assert evil in mail["text"]
        assert evil in seen(mail["html"])
        assert "&amp;" not in mail["subject"]
        assert "A &amp; B &lt; C" in slack["text"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["markup", "override", "emoji", "slack", "long"])
def test_no_value_of_any_template_is_more_than_text(name: str, kind: str) -> None:
    evil = HOSTILE[kind][:5000]
    values = hostile({**TEMPLATES.meta(name).sample, "zone": "UTC"}, evil)

    mail = TEMPLATES.mail(name, values, "en")
    push = TEMPLATES.push(name, values, "en")
    slack = TEMPLATES.slack(name, values, "en")
    sms = TEMPLATES.sms(name, values, "en")

    page: Any = lxml.html.fromstring(mail["html"])
    assert not page.xpath("//script|//*[@onerror]")
    assert segments(sms).count <= 2
    assert len(push["title"].encode()) + len(push["body"].encode()) < 4096
    assert not list(problems(slack["blocks"]))
    whole = json.dumps([mail, push, slack, sms], ensure_ascii=False)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", whole)
    assert not re.search(r"<(?!https://)", json.dumps(slack))
    assert "&amp;lt;" not in whole  # nothing is escaped twice


def hostile(value: Any, evil: str) -> Any:
    """Return *value* with *evil* for every text that is no link or time."""
    if isinstance(value, dict):
        return {name: hostile(each, evil) for name, each in value.items()}
    if isinstance(value, list):
        return [hostile(each, evil) for each in value]
    is_typed = isinstance(value, str) and not re.match(r"https://|2026-|UTC$", value)
    return evil if is_typed else value


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
    ("part", "source", "complaint"),
    [
        ("meta.toml", 'max_segments = "many"', "meta.toml is malformed.*max_segments"),
        ("meta.toml", "urgnet = true", "meta.toml is malformed.*urgnet"),
        ("words.toml", "[en]\ntitle = 1", "must have texts alone"),
        ("push.json", '{"titel": "x"}', "no 'titel'; there are: title, body"),
        ("push.json", '{"title": 5}', "title is of the wrong kind"),
        ("push.json", '["x"]', "must be a JSON object"),
        ("slack.json", '{"text": "x", "blocks": ["y"]}', "blocks is of the wrong kind"),
        ("slack.json", '{"text": "x"', "is no JSON"),
    ],
)
def test_a_folder_that_is_malformed_says_where(
    tmp_path: Path, part: str, source: str, complaint: str
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "meta.toml").write_text("")
    (tmp_path / "own" / "push.json").write_text("{}")
    (tmp_path / "own" / part).write_text(source)
    templates = make(templates=str(tmp_path))

    render = templates.slack if part == "slack.json" else templates.push

    with pytest.raises(TemplateError, match=complaint):
        render("own", {}, "en")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ days.__class__ }}", "does what it may not|undefined"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "may not"),
        ("{% include '../../../etc/passwd' %}", "is broken"),
        ("{% include '/etc/passwd' %}", "is broken"),
        ("{% include 'own/sms.txt' %}", "without end"),
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
