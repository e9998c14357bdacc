from __future__ import annotations

import base64
import html
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import redis

from nexus_actors.testing.secrets import Leak, SecretScan


SECRET = 'p@ss/w+rd "é&1\\x>>??'

Plant = Callable[[str], str]


@pytest.fixture
def scan() -> SecretScan:
    return SecretScan({"token": SECRET, "other": "never planted"})


def base64_after(before: bytes, text: str) -> str:
    return base64.b64encode(before + text.encode() + b"!after").decode()


PLANTS: dict[str, Plant] = {
    "plain": str,
    "hex": lambda s: s.encode().hex(),
    "upper-case hex": lambda s: s.encode().hex().upper(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 after one byte": lambda s: base64_after(b"u", s),
    "base64 after two bytes": lambda s: base64_after(b"u:", s),
    "base64 after three bytes": lambda s: base64_after(b"us:", s),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 in a URL": lambda s: quote(base64.b64encode(s.encode()).decode(), safe=""),
    "base64 in a URL, plus kept": lambda s: quote(
        base64.b64encode(s.encode()).decode(), safe="+"
    ),
    "URL": lambda s: quote(s, safe=""),
    "URL, slashes kept": quote,
    "form": quote_plus,
    "lower-case URL": lambda s: quote(s, safe="").lower(),
    "JSON": json.dumps,
    "JSON in UTF-8": lambda s: json.dumps(s, ensure_ascii=False),
    "JSON with escaped slashes": lambda s: json.dumps(s).replace("/", "\\/"),
    "JSON in JSON": lambda s: json.dumps({"body": json.dumps({"token": s})}),
    "bytes as Python shows them": lambda s: repr(s.encode()),
    "HTML": html.escape,
}


@pytest.mark.parametrize("form", PLANTS)
def test_a_leak_is_found_in_every_form(scan: SecretScan, form: str) -> None:
    log = f'GET /a?b={PLANTS[form](SECRET)}&c=100% "ok" \\ done'

    leaks = list(scan.text("worker.log", log))

    assert {(leak.name, leak.where) for leak in leaks} == {("token", "worker.log")}
    assert SECRET not in repr(leaks)


def test_a_clean_text_has_no_leak(scan: SecretScan) -> None:
    log = json.dumps({"token": "***", "url": "/a%20b?c=d+e", "size": 1}) * 100

    assert list(scan.text("worker.log", log)) == []


def test_a_leak_says_how_the_secret_stood_there(scan: SecretScan) -> None:
    (leak,) = scan.text("log", quote(PLANTS["base64"](SECRET), safe=""))

    assert leak == Leak("token", "log", "base64, URL-encoded")


def test_a_secret_that_would_be_found_by_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="pin"):
        SecretScan({"pin": "1234"})


def test_a_leak_is_found_in_files_and_in_their_names(tmp_path: Path) -> None:
    scan = SecretScan({"token": "s3cr3t-t0k3n"})
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "clean.txt").write_text("nothing")
    (tmp_path / "a" / "b" / "x.bin").write_bytes(b"\xff\x00s3cr3t-t0k3n\xff")
    (tmp_path / "s3cr3t-t0k3n.txt").touch()

    places = [leak.where for leak in scan.files(tmp_path)]

    assert places == [
        str(tmp_path / "a" / "b" / "x.bin"),
        f"the name of {tmp_path}/…",
    ]


def test_a_leak_is_found_in_a_row_and_in_a_deleted_one(
    scan: SecretScan, tmp_path: Path
) -> None:
    file = tmp_path / "app.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute('CREATE TABLE "the notes" (id, note)')
        database.execute('INSERT INTO "the notes" VALUES (1, "clean")')
        database.commit()
        clean = list(scan.sqlite(file))
        database.execute('INSERT INTO "the notes" VALUES (2, ?)', (SECRET,))
        database.commit()
        stored = list(scan.sqlite(file))
        database.execute('DELETE FROM "the notes" WHERE id = 2')
        database.commit()
        deleted = list(scan.sqlite(file))

    assert clean == []
    assert [leak.where for leak in stored] == [
        f"{file}, the notes, row 2, note",
        f"{file}, raw",
    ]
    assert [leak.where for leak in deleted] == [f"{file}, raw"]


def test_a_leak_is_found_in_rows_of_any_type(scan: SecretScan) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "note": None, "at": 1.5},
        {"id": 2, "note": SECRET.encode(), "at": {"nested": [SECRET]}},
    ]

    places = [leak.where for leak in scan.rows("accounts", rows)]

    assert places == ["accounts, row 2, note", "accounts, row 2, at"]


REDIS_PLANTS: dict[str, Callable[[redis.Redis], object]] = {
    "a string": lambda r: r.set("x", SECRET),
    "a message": lambda r: r.set("x", json.dumps({"args": json.dumps([SECRET])})),
    "a key": lambda r: r.set(SECRET, "x"),
    "a list": lambda r: r.rpush("x", "a", SECRET),
    "a set": lambda r: r.sadd("x", "a", SECRET),
    "a sorted set": lambda r: r.zadd("x", {"a": 1, SECRET: 2}),
    "a field of a hash": lambda r: r.hset("x", SECRET, "a"),
    "a value of a hash": lambda r: r.hset("x", "a", SECRET),
    "a stream": lambda r: r.xadd("x", {"a": SECRET}),
}


@pytest.mark.parametrize("place", REDIS_PLANTS)
@pytest.mark.parametrize("number", [0, 3])
def test_a_leak_is_found_everywhere_in_redis(
    scan: SecretScan, redis_url: str, place: str, number: int
) -> None:
    with closing(redis.Redis.from_url(redis_url, db=number, protocol=2)) as client:
        client.set("clean", "nothing")
        clean = list(scan.redis(redis_url))
        REDIS_PLANTS[place](client)

    leaks = list(scan.redis(redis_url))

    assert clean == []
    assert {leak.name for leak in leaks} == {"token"}
    assert f"redis {number}" in leaks[0].where
