"""Looks for secrets where none may be: logs, Redis, databases, files.

A secret is planted under a name, everything is run, and then each place is searched::

    scan = SecretScan({"access token": token})
    leaks = [*scan.text("worker.log", log), *scan.redis(url), *scan.files(tmp_path)]
    assert not leaks

It is found as it is, in base64 (at any position, both alphabets) and in hex, and each
of these also where the text around it is URL-encoded, JSON-escaped (twice, too: JSON in
JSON) or HTML-escaped.  A `Leak` names the secret and never shows it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import redis


#: A shorter secret would be found by chance.
SHORTEST: Final = 8

_ESCAPES: Final = re.compile(
    rb"(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|\\[\"'\\/bfnrt]"
)
_SIMPLE: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret was found.

    Attributes:
        name: Which.
        where: The place.
        form: How it stood there, such as ``base64, JSON-escaped``.
    """

    name: str
    where: str
    form: str


class SecretScan:
    """Searches for secrets, given by name.

    Raises:
        ValueError: A secret is so short that it would be found by chance.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        short = [name for name, value in secrets.items() if len(value) < SHORTEST]
        if short:
            raise ValueError(f"shorter than {SHORTEST} characters: {', '.join(short)}")
        self._forms = {name: _forms(value.encode()) for name, value in secrets.items()}

    def text(self, where: str, text: str | bytes) -> Iterator[Leak]:
        """Search a text, such as a log."""
        data = text.encode() if isinstance(text, str) else text
        found: set[tuple[str, str]] = set()
        for view, content in _views(data):
            for name, forms in self._forms.items():
                for form, needles in forms.items():
                    searched = content.lower() if form == "hex" else content
                    if (name, form) not in found and any(
                        needle in searched for needle in needles
                    ):
                        found.add((name, form))  # in the plainest view only
                        yield Leak(name, where, f"{form}, {view}" if view else form)

    def files(self, *paths: Path) -> Iterator[Leak]:
        """Search files, and folders with all below them: contents and names."""
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                yield from self.text(f"the name of {file.parent}/…", file.name)
                if file.is_file():
                    yield from self.text(str(file), file.read_bytes())

    def rows(self, where: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[Leak]:
        """Search rows of a database, each a mapping of columns to values."""
        for number, row in enumerate(rows, 1):
            for column, value in row.items():
                yield from self.text(f"{where}, row {number}, {column}", _bytes(value))

    def sqlite(self, path: Path) -> Iterator[Leak]:
        """Search a SQLite file: its rows, and its pages, which keep deleted ones."""
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type='table'"
            )
            for (table,) in tables.fetchall():
                quoted = '"' + table.replace('"', '""') + '"'
                rows = database.execute(f"SELECT * FROM {quoted}")  # noqa: S608 - its own
                yield from self.rows(f"{path}, {table}", map(dict, rows))
        for part in ("", "-wal", "-journal"):
            raw = path.with_name(path.name + part)
            if raw.exists():
                yield from self.text(f"{raw}, raw", raw.read_bytes())

    def redis(self, url: str) -> Iterator[Leak]:
        """Search all keys and values in all databases of a Redis server."""
        for number in _databases(url):
            client = redis.Redis.from_url(url, db=number, protocol=2)
            with closing(client):
                for key in client.scan_iter(count=1000):
                    where = f"redis {number}, {key.decode(errors='replace')}"
                    yield from self.text(f"a key of redis {number}", key)
                    for value in _values(client, key):
                        yield from self.text(where, value)


def _forms(secret: bytes) -> dict[str, list[bytes]]:
    """Return what the secret looks like, by encoding."""
    encoded = {
        needle
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode)
        for needle in _base64(secret, alphabet)
    }
    return {
        "plain": [secret],
        "hex": [secret.hex().encode()],
        "base64": sorted(encoded),
    }


def _base64(secret: bytes, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Encode it after 0, 1 and 2 other bytes, without what the neighbours decide."""
    for before, touched in ((0, 0), (1, 2), (2, 3)):
        encoded = encode(bytes(before) + secret).rstrip(b"=")
        ragged = (before + len(secret)) % 3 != 0
        yield encoded[touched : -1 if ragged else None]


def _views(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Return *data* as it is, and as what it may stand for."""
    yield "", data
    if b"%" in data:
        yield "URL-encoded", unquote_to_bytes(data.replace(b"+", b" "))
        yield "URL-encoded", unquote_to_bytes(data)  # a plus of base64 may be bare
    if b"\\" in data:
        once = _unescaped(data)
        yield "JSON-escaped", once
        if b"\\" in once:
            yield "JSON-escaped twice", _unescaped(once)
    if b"&" in data:
        text = data.decode("utf-8", "surrogateescape")
        yield "HTML-escaped", html.unescape(text).encode("utf-8", "surrogateescape")


def _unescaped(data: bytes) -> bytes:
    return _ESCAPES.sub(_unescape, data)


def _unescape(match: re.Match[bytes]) -> bytes:
    escape = match[0].decode()
    if escape.startswith("\\u"):  # pairs of them may be one character
        text: str = json.loads(f'"{escape}"')
        return text.encode("utf-8", "surrogatepass")
    if escape.startswith("\\x"):
        return bytes.fromhex(escape[2:])
    return _SIMPLE.get(escape[1], escape[1]).encode()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _databases(url: str) -> list[int]:
    with closing(redis.Redis.from_url(url, protocol=2)) as client:
        return [int(name.removeprefix("db")) for name in client.info("keyspace")]


def _values(client: Any, key: bytes) -> Iterable[bytes]:
    readers: dict[str, Callable[[], Iterable[bytes]]] = {
        "none": list,  # it has just expired
        "string": lambda: [client.get(key) or b""],
        "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: client.smembers(key),
        "zset": lambda: client.zrange(key, 0, -1),
        "hash": lambda: _flat([client.hgetall(key)]),
        "stream": lambda: _flat(fields for _, fields in client.xrange(key)),
    }
    kind = client.type(key).decode()
    if kind not in readers:
        raise ValueError(f"{key!r} is a {kind}, which cannot be searched")
    return readers[kind]()


def _flat(mappings: Iterable[Mapping[bytes, bytes]]) -> list[bytes]:
    return [part for mapping in mappings for pair in mapping.items() for part in pair]
