"""Calls to other people's servers, and what their failures mean.

The one place where an error of the HTTP library becomes one of ours.  The text of a
foreign error holds the URL, so none is chained: only the system's reason below it.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qsl, urlsplit

import requests
import tenacity
from urllib3.exceptions import HTTPError

from . import clock
from .errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    ResourceError,
    UnknownOutcomeError,
)
from .logs import REDACTED, SECRET_NAME, get_logger
from .transport import BLOCK_BYTES, Exchange, Limits, Session, shared_session


log = get_logger(__name__)

#: What a call may take.
USUAL: Final = Limits()

#: How often a call that may be repeated is made, where its server is not reached.
TRIES: Final = 3

#: How long to wait where a server limits us and does not say for how long.
PAUSE: Final = timedelta(minutes=1)

#: The shortest and the longest wait that a server can ask for.
SHORTEST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(days=1)

#: How much of a refusal's text is kept for the person who looks into it.
EXCERPT_CHARS: Final = 500

#: What is shorter is no secret, and may be part of any word.
SHORTEST: Final = 6

#: Hears how many bytes there are so far, and how many there will be, if that is known.
OnProgress = Callable[[int, int | None], None]

#: Methods that change nothing.
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes *start* to *stop* of a file as a body; one block of it is in memory."""

    path: Path
    start: int
    stop: int
    total: int

    @classmethod
    def of(cls, path: Path, start: int = 0, stop: int | None = None) -> FileSlice:
        """Take the file at *path* from *start* to *stop*, or to its end."""
        total = path.stat().st_size
        stop = total if stop is None else min(stop, total)
        if not 0 <= start < stop:
            raise ValueError(f"no bytes from {start} to {stop} of {total}")
        return cls(path, start, stop, total)

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[bytes]:
        left = len(self)
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                while left and (block := file.read(min(left, BLOCK_BYTES))):
                    left -= len(block)
                    yield block
        except OSError as error:
            raise ResourceError(f"cannot read {self.path}: {error.strerror}") from error
        if left:
            raise RejectedError(
                f"{self.path} became shorter while it was sent", code="source_changed"
            )

    @property
    def content_range(self) -> str:
        """The value of the ``Content-Range`` header."""
        return f"bytes {self.start}-{self.stop - 1}/{self.total}"


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A file between other bytes as a body, as a multipart form has it.

    Unlike a `FileSlice`, it is sent again as a whole where the call may be repeated.
    """

    head: bytes
    file: FileSlice
    tail: bytes

    def __len__(self) -> int:
        return len(self.head) + len(self.file) + len(self.tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self.file
        yield self.tail


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """What is asked of a server.

    Attributes:
        target: A path below the client's base URL, or a whole URL; of a whole URL
            only the host is ever shown, since such URLs are often secrets.
        idempotent: Whether making the call twice is as good as once; by default only
            reading is.  One that is not is never repeated, and if the server may have
            seen it and did not answer, its outcome is unknown.
        undone_on_5xx: An answer of 5xx proves that nothing has happened.
        accept: Statuses that are answers rather than errors, beside 2xx.
        counts: As how many calls the server counts it, which is more than one of a
            batch.
    """

    method: str
    target: str
    _: KW_ONLY
    params: Mapping[str, str | int] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileSlice | Enclosed | None = None
    form: Mapping[str, str | int] | None = None
    json: Any = None
    idempotent: bool | None = None
    undone_on_5xx: bool = False
    accept: Collection[int] = ()
    counts: int = 1

    def __str__(self) -> str:
        parts = urlsplit(self.target)
        return f"{self.method} {parts.hostname or parts.path}"

    def __repr__(self) -> str:
        return f"<Call {self}>"

    @property
    def repeatable(self) -> bool:
        """Whether the call may be made again when nobody knows what became of it."""
        return self.method in READS if self.idempotent is None else self.idempotent

    def lost(self, text: str) -> NexusError:
        """Return the error for a call that was sent and not properly answered."""
        if self.repeatable:
            return RemoteUnavailableError(text)
        return UnknownOutcomeError(f"{text}; it may have been done")


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a server said.

    Attributes:
        headers: Found in any case.
        whole: Whether *body* is all of it, and not the part that was worth reading.
        request_id: What the server's people find the call by.
    """

    server: str
    call: Call
    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True
    request_id: str | None = None

    def __repr__(self) -> str:
        return f"<Answer {self.status} to {self.call}>"

    def json(self) -> Any:
        """Return the body's value.

        Raises:
            UnknownOutcomeError: There is none, or half of one, and the call was not
                idempotent; else it is a `RemoteUnavailableError`.
        """
        try:
            if self.whole:
                return json.loads(self.body)
        except ValueError:  # a gateway's page, or what is no text at all
            pass
        text = f"{self.server}: {self.call} was answered with {self.status} and no JSON"
        error = self.call.lost(text)
        error.details["request_id"] = self.request_id
        raise error


@dataclass(frozen=True, kw_only=True, repr=False)
class ApiClient:
    """Makes calls to one server, over the session that the whole process shares.

    A vendor's subclass overrides `judge`, where the verdict stands in the body, and
    `request_id`, where that does::

        class TikTokClient(ApiClient):
            def judge(self, answer: Answer) -> NexusError | None:
                code = answer.json()["error"]["code"]
                return ERRORS.get(code) or super().judge(answer)

    Attributes:
        name: How errors call the server.
        headers: Sent with each call, such as ``Authorization``.
        on_call: Shown each call before it is made, also one that is made again; what
            it raises is raised in place of that.
        on_answer: Shown each answer first, whatever it says: reads the limits that
            stand in headers.
    """

    name: str
    base_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = USUAL
    on_call: Callable[[Call], None] | None = None
    on_answer: Callable[[Answer], None] | None = None
    session: Session | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def send(self, call: Call, *, check: Callable[[], None] | None = None) -> Answer:
        """Make the *call* and return the answer, if it is one.

        *check* is called at least each second, and raises if the job must stop.

        Raises:
            RemoteUnavailableError: Nothing has happened, or nothing that matters.
            UnknownOutcomeError: Something that matters may have happened.
            Postponed: The server asks to come again later.
            AuthorizationError: The credentials are not good, or not good enough.
            RejectedError: The server will not do it.
        """
        if not call.repeatable or isinstance(call.body, FileSlice):
            return self._exchange(call, check)
        again = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES)
            | tenacity.stop_after_delay(self.limits.total_s),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=2),
            retry=tenacity.retry_if_exception_type(RemoteUnavailableError),
            sleep=clock.sleep,
            reraise=True,
        )
        return again(self._exchange, call, check)

    def fetch(
        self,
        call: Call,
        file: BinaryIO,
        *,
        max_bytes: int,
        check: Callable[[], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Answer:
        """Make the *call* once and write the body of a good answer to *file*.

        *on_progress* is called before the first byte is written, and with each block.

        Raises:
            RejectedError: It is longer than *max_bytes*; else as `send` does.
        """

        def pour(response: requests.Response) -> None:
            _pour(response, file, max_bytes, on_progress or (lambda *_: None))

        return self._exchange(call, check, pour)

    def judge(self, answer: Answer) -> NexusError | None:
        """Return what *answer* means: an error, or nothing if it is what was asked."""
        if answer.status in answer.call.accept or _is_good(answer.status):
            return None
        return _refusal(answer)

    def request_id(self, answer: Answer) -> str | None:
        """Return what the server's people find the call by."""
        return answer.headers.get("X-Request-Id")

    def _exchange(
        self,
        call: Call,
        check: Callable[[], None] | None,
        pour: Callable[[requests.Response], None] | None = None,
    ) -> Answer:
        if self.on_call:
            self.on_call(call)
        with Exchange(self.limits, check) as exchange:
            try:
                answer = self._transfer(call, pour)
            except NexusError:
                raise
            except (requests.RequestException, HTTPError, ValueError) as error:
                reason = _reason(error)
                failure = self._translate(call, error, reason, sent=exchange.sent)
                failure.details["server"] = self.name
            else:
                self._weigh(answer)
                return answer
        raise failure from reason  # out here the foreign error is not its context

    def _transfer(
        self, call: Call, pour: Callable[[requests.Response], None] | None
    ) -> Answer:
        session = self.session or shared_session()
        body, headers = call.body, {**self.headers, **call.headers}
        if call.json is not None:
            body = json.dumps(call.json).encode()
            headers.setdefault("Content-Type", "application/json")
        with session.request(
            call.method,
            self._url(call),
            params=call.params,
            headers=headers,
            data=call.form if body is None else body,
            timeout=(self.limits.connect_s, self.limits.read_s),
            stream=True,
            allow_redirects=False,
        ) as response:
            if pour and _is_good(response.status_code):
                pour(response)
                body, whole = b"", True
            else:
                body, whole = self._read(response)
        answer = Answer(
            self.name, call, response.status_code, response.headers, body, whole
        )
        return replace(answer, request_id=self.request_id(answer))

    def _read(self, response: requests.Response) -> tuple[bytes, bool]:
        """Return the body, and whether that is all of it."""
        body = bytearray()
        try:
            for block in response.raw.stream(BLOCK_BYTES, decode_content=True):
                body += block
                if len(body) > self.limits.answer_bytes:
                    return bytes(body[: self.limits.answer_bytes]), False
        except HTTPError:
            if response.status_code < HTTPStatus.BAD_REQUEST:
                raise
            return bytes(body), False  # the refusal stands without its words
        return bytes(body), True

    def _weigh(self, answer: Answer) -> None:
        """Hand *answer* on, and raise the error that it is, if it is one."""
        if self.on_answer:
            try:
                self.on_answer(answer)
            except Exception:
                # What was asked for is done, and must not look as if it had failed.
                log.exception("http.hook_failed", server=self.name)
        error = self.judge(answer)
        if error is None:
            return
        error.args = (f"{self.name}: {error.message}", *error.args[1:])
        error.details["server"] = self.name
        error.details.setdefault("status", answer.status)
        error.details.setdefault("request_id", answer.request_id)
        if not self._discreet:
            error.details.setdefault("body", self._excerpt(answer))
        raise error

    def _translate(
        self, call: Call, error: Exception, reason: Exception | None, *, sent: bool
    ) -> NexusError:
        text = f"{self.name}: {call}"
        if not sent and isinstance(error, ValueError):
            return ConfigurationError(f"{text}: its URL or a header is malformed")
        # Told why, who typed the URL could look around in a network with it.
        why = "" if self._discreet else f": {_in_words(reason)}"
        if not sent:
            return RemoteUnavailableError(f"{text}: not reached{why}")
        return call.lost(f"{text}: not answered to the end{why}")

    def _url(self, call: Call) -> str:
        if "://" in call.target:
            return call.target
        return f"{self.base_url.rstrip('/')}/{call.target.lstrip('/')}"

    @property
    def _discreet(self) -> bool:
        return bool(self.session and self.session.route.discreet)

    def _excerpt(self, answer: Answer) -> str:
        """Return the start of the body, without any secret that was sent."""
        text = answer.body[: 4 * EXCERPT_CHARS].decode(errors="replace")
        for secret in _secrets(self.headers, answer.call):
            text = text.replace(secret, REDACTED)
        return text[:EXCERPT_CHARS]


def _pour(
    response: requests.Response,
    file: BinaryIO,
    max_bytes: int,
    on_progress: OnProgress,
) -> None:
    too_large = RejectedError(
        f"the answer is larger than {max_bytes:,} bytes", code="too_large"
    )
    total: int | None = response.raw.length_remaining
    if total and total > max_bytes:
        raise too_large
    if "Content-Encoding" in response.headers:
        total = None  # of what is sent, not of what it means
    written = 0
    on_progress(written, total)
    for block in response.raw.stream(BLOCK_BYTES, decode_content=True):
        written += len(block)
        if written > max_bytes:
            raise too_large
        file.write(block)
        on_progress(written, total)


def _is_good(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _refusal(answer: Answer) -> NexusError:
    """Return what a status means by itself."""
    call, status = answer.call, answer.status
    text = f"{call} was answered with {_named(status)}"
    asked = answer.headers.get("Retry-After")
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and asked
    ):
        return Postponed(text, code="rate_limited", until=_until(answer.headers))
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return AuthorizationError(text)
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return RemoteUnavailableError(text)  # the request did not arrive whole
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RemoteUnavailableError(text) if call.undone_on_5xx else call.lost(text)
    return RejectedError(text)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _until(headers: Mapping[str, str]) -> datetime:
    """Return when a server wants to be asked again, by our clock."""
    return clock.now() + min(max(_pause(headers), SHORTEST_PAUSE), LONGEST_PAUSE)


def _pause(headers: Mapping[str, str]) -> timedelta:
    asked = headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,9}", asked.strip()):
        return timedelta(seconds=int(asked))
    try:
        return _aware(asked) - time_there(headers)
    except ValueError:
        return PAUSE


def time_there(headers: Mapping[str, str]) -> datetime:
    """Return the time by the clock of a server, which may differ from ours."""
    try:
        return _aware(headers.get("Date", ""))
    except ValueError:
        return clock.now()


def _aware(date: str) -> datetime:
    found = parsedate_to_datetime(date)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _secrets(headers: Mapping[str, str], call: Call) -> set[str]:
    """Return what was sent under the name of a secret, longest first."""
    fields: list[tuple[str, Any]] = [
        *headers.items(),
        *call.headers.items(),
        *(call.params or {}).items(),
        *(call.form or {}).items(),
        *(call.json.items() if isinstance(call.json, Mapping) else ()),
        *parse_qsl(urlsplit(call.target).query),
    ]
    found = {str(value) for name, value in fields if SECRET_NAME.search(name)}
    return {word for value in found for word in value.split() if len(word) >= SHORTEST}


def _reason(error: BaseException) -> Exception | None:
    """Return the system's own error below *error*, which knows nothing of the URL."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    if isinstance(error, requests.RequestException | HTTPError):
        return None
    return error if isinstance(error, OSError | HTTPException) else None


def _in_words(reason: Exception | None) -> str:
    if isinstance(reason, TimeoutError):
        return "it took too long"
    if isinstance(reason, socket.gaierror):
        return "its name is not known"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {reason.verify_message}"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return "the connection broke"
