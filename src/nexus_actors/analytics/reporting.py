"""Where anomalies are told, and reports are made, stored and told, each once."""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from nexus_actors.core import clock
from nexus_actors.core.errors import NexusError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import events, jobs
from nexus_actors.engine.instruments import counter
from nexus_actors.platforms.vault import open_database

from .base import collectors
from .metrics import METRICS
from .models import (
    AccountName,
    DetectAnomaliesResult,
    GenerateReportRequest,
    GenerateReportResult,
    ReportFile,
)
from .plans import planned


if TYPE_CHECKING:
    from nexus_actors.core.database import Database
    from nexus_actors.core.storage import Storage

    from .judging import Finding
    from .reports.periods import Period

log = get_logger(__name__)

#: What is told.
ANOMALY: Final = "analytics.anomaly_detected"
REPORT: Final = "analytics.report_generated"

#: Older days are found and kept, and nobody is told: they are history.
NEWS_DAYS: Final = 14

#: From here on an anomaly is called major: rarer than one usual day in a thousand.
MAJOR: Final = 0.999

#: Pictures of more bytes are left out of a page.
PICTURE_BYTES: Final = 400_000

#: Where reports lie in the store; their names are secrets.
FOLDER: Final = "reports"

FOUND: Final = counter(
    "nexus_analytics_anomalies_total",
    "Anomalies that were found, each once",
    platform=collectors.known,
    metric=tuple(METRICS),
    severity=("minor", "major"),
)
REPORTS: Final = counter(
    "nexus_analytics_reports_total",
    "Reports that were asked for, by what became of them",
    kind=("day", "week", "month", "custom"),
    outcome=("made", "again", "failed"),
)


# anomalies


def detect_all(platform: str | None, account: str | None) -> dict[str, Any]:
    """Judge what was not judged yet, keep what is found, and tell it."""
    from .figures import Figures
    from .findings import Findings

    database = open_database(CoreSettings.load())
    number = None
    if platform is not None and account is not None:
        number = Figures(database).number(platform, account)
    findings, check = Findings(database), jobs.current().check
    count = judged = 0
    for each in findings.accounts(number):
        check()
        count += _judge(database, each)
        judged += 1
    log.info("analytics.judged", accounts=judged, anomalies=count)
    return DetectAnomaliesResult(accounts=judged, found=count).to_json()


def _judge(database: Database, number: int) -> int:
    """Judge an account; tell what is new, and what could not be told before."""
    from .figures import account_of
    from .findings import Findings

    findings = Findings(database)
    platform, account = account_of(database, number)
    found = findings.judge(number)
    for one in found:
        severity = "major" if one.confidence >= MAJOR else "minor"
        FOUND.inc(platform=platform, metric=one.metric, severity=severity)
    recent = (clock.now() - timedelta(days=NEWS_DAYS)).date()
    for key, one in findings.untold(number, recent):
        if events.emit(ANOMALY, _told(platform, account, key, one), key=str(key)):
            findings.told(key, clock.now_ms())
    return len(found)


def _told(platform: str, account: str, key: int, one: Finding) -> dict[str, Any]:
    from .reports import terms

    names = ("value", "low", "high")
    words = {name: terms.amount(one.metric, getattr(one, name)) for name in names}
    each = " a day" if one.kind in {"rise", "fall"} else ""
    return {
        "anomaly": key,
        "platform": platform,
        "account": account,
        "post": one.post,
        "title": one.title,
        "metric": one.metric,
        "kind": one.kind,
        "day": one.day.isoformat(),
        "since": one.since.isoformat(),
        "value": words["value"] + each,
        "expected": f"{words['low']} to {words['high']}",
        "confidence": one.confidence,
        "moved": [other.metric for other in one.moved],
    }


# reports


def generate(body: dict[str, Any]) -> dict[str, Any]:
    """Make a report, store it, and tell of it; asked for again, there is but one."""
    request = GenerateReportRequest.parse(body, what="generate_report")
    try:
        result = _Making.of(request).run()
    except NexusError:
        REPORTS.inc(kind=request.period, outcome="failed")
        raise
    REPORTS.inc(kind=request.period, outcome="again" if result.again else "made")
    return result.to_json()


@dataclass(frozen=True, slots=True)
class _Making:
    request: GenerateReportRequest
    database: Database
    storage: Storage
    check: Callable[[], None]

    @classmethod
    def of(cls, request: GenerateReportRequest) -> _Making:
        from nexus_actors.core.storage import Storage

        core = CoreSettings.load()
        return cls(
            request, open_database(core), Storage.connect(core), jobs.current().check
        )

    def run(self) -> GenerateReportResult:
        accounts = self.accounts()
        period = self.period(accounts)
        self.prepare(accounts)
        found = self.build(accounts, period)
        name = self.name_of(found, accounts, period)
        row = self.find(name)
        again = row is not None
        if row is None:
            row = self.make(found, name, period)
        self.tell(row)
        return self.result(row, again=again)

    def accounts(self) -> list[AccountName]:
        """Return whom the report is of: by default, all that were ever collected."""
        from .figures import known_accounts

        asked = self.request.all_accounts()
        known = asked or known_accounts(self.database)
        return [
            one if isinstance(one, AccountName) else AccountName.parse_pair(*one)
            for one in known
        ]

    def period(self, accounts: Sequence[AccountName]) -> Period:
        from .reports.periods import Length, last_ended, period

        length = Length(self.request.period)
        if self.request.since is not None or length is Length.CUSTOM:
            return period(length, self.request.since, self.request.until)
        return last_ended(length, _today(self.database, accounts))

    def prepare(self, accounts: Sequence[AccountName]) -> None:
        """Bring days and anomalies up to what was collected."""
        from .figures import Figures
        from .rollups import Rollups

        rollups = Rollups(self.database, stop=self.check)
        for each in accounts:
            number = Figures(self.database).number(each.platform, each.account)
            rollups.roll(account=number)
            self.check()
            _judge(self.database, number)

    def build(self, accounts: Sequence[AccountName], period: Period) -> dict[str, Any]:
        from .reports.building import SCHEMA, section
        from .reports.gathering import gather

        sections = []
        for each in accounts:
            self.check()
            material = gather(self.database, each.platform, each.account, period)
            sections.append(section(material))
        through = [one["data_through"] for one in sections]
        known = [day for day in through if day is not None]
        return {
            "schema": SCHEMA,
            "title": self.request.title,
            "period": period.to_json(),
            "prior": period.prior.to_json(),
            "data_through": min(known) if len(known) == len(through) > 0 else None,
            "accounts": sections,
        }

    def name_of(
        self, found: Mapping[str, Any], accounts: Sequence[AccountName], period: Period
    ) -> str:
        """Return what the same report would be called, asked for again.

        A planned one is made once; any other is the same if it says the same.
        """
        if self.request.plan is not None:
            return planned(self.request.plan, period)
        said = json.dumps(_without_times(found), sort_keys=True)
        parts = [said, *sorted(self.request.people()), str(self.request.formats)]
        parts += [f"{one.platform}/{one.account}" for one in accounts]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def find(self, name: str) -> Mapping[Any, Any] | None:
        from nexus_actors.core.tables import reports as table

        query = table.select().where(table.c.request == name)
        with self.database.read() as connection:
            return connection.execute(query).mappings().first()

    def make(
        self, found: dict[str, Any], name: str, period: Period
    ) -> Mapping[Any, Any]:
        from nexus_actors.core.tables import reports as table

        from .calendar import to_day

        now, key = clock.now(), secrets.token_urlsafe(18)
        body = {"id": key, "generated_at": now.isoformat(timespec="minutes")} | found
        files = self.store(key, body)
        row = {
            "id": key,
            "request": name,
            "period": period.length.value,
            "since_day": to_day(period.since),
            "until_day": to_day(period.until),
            "body": body,
            "files": files,
            "created_ms": clock.to_ms(now),
        }
        query = self.database.insert(table).values(row)
        kept = query.on_conflict_do_nothing(index_elements=[table.c.request])
        with self.database.begin() as connection:
            first = connection.execute(kept.returning(table.c.id)).first()
        if first is None:  # another was faster, and says the same
            self.storage.delete(list(files.values()))
        made = self.find(name)
        assert made is not None  # noqa: S101 - ours, or the other's
        log.info("analytics.report_made", report=made["id"], period=period.length)
        return made

    def store(self, key: str, body: dict[str, Any]) -> dict[str, str]:
        """Put the files into the store; return their keys."""
        from .reports.page import html

        kinds = self.request.formats or _possible()
        folder = f"{FOLDER}/{key}"
        with tempfile.TemporaryDirectory(prefix="nexus-report-") as scratch:
            place = Path(scratch)
            pictures = self.pictures(body, place) if kinds != ("json",) else {}
            # a signed address is good for one file alone, and not for long
            linked = "pdf" in kinds and not self.storage.signs_urls
            made: dict[str, bytes] = {}
            if "json" in kinds:
                text = json.dumps(body, indent=2, ensure_ascii=False)
                made["json"] = text.encode("utf-8", "replace")
            if "html" in kinds:
                name = "report.pdf" if linked else None
                made["html"] = html(body, pictures=pictures, pdf_url=name).encode()
            if "pdf" in kinds:
                from .reports.pdf import pdf

                made["pdf"] = pdf(html(body, pictures=pictures))
            files = {}
            for kind, data in made.items():
                path = place / f"report.{kind}"
                path.write_bytes(data)
                files[kind] = f"{folder}/{path.name}"
                self.storage.put_file(files[kind], path, check=self.check)
        return files

    def pictures(self, body: Mapping[str, Any], folder: Path) -> dict[str, bytes]:
        """Return the pictures of the posts that are shown; one that fails is left out.

        They are fetched from where the platforms have them, or from our own store.
        """
        from nexus_actors.core.guard import Guard, GuardSettings

        guard, found = Guard(GuardSettings.load()), {}
        urls = [
            post["picture_url"]
            for section in body["accounts"]
            for post in (*section["posts"]["best"], *section["posts"]["weakest"])
            if post["picture_url"]
        ]
        for at, url in enumerate(dict.fromkeys(urls)):
            path, most = folder / f"picture-{at}", PICTURE_BYTES
            try:
                if (key := self.storage.key(url)) is not None:
                    self.storage.get_file(key, path, max_bytes=most, check=self.check)
                else:
                    guard.download(url, path, max_bytes=most, check=self.check)
            except NexusError as error:
                log.info("analytics.picture_left_out", reason=error.code)
                continue
            found[url] = path.read_bytes()
        return found

    def tell(self, row: Mapping[Any, Any]) -> None:
        """Tell each person of the report once; after a crash, perhaps once more."""
        from nexus_actors.core.tables import reports as table

        mine = table.c.id == row["id"]
        with self.database.begin() as connection:  # others wait until all were told
            query = table.select().where(mine).with_for_update()
            if connection.execute(query).mappings().one()["told_ms"] is None:
                if not self.emit(row):
                    return
                done = table.update().where(mine)
                connection.execute(done.values(told_ms=clock.now_ms()))

    def emit(self, row: Mapping[Any, Any]) -> bool:
        """Tell each person of the report; return whether nothing is left to tell."""
        from .reports import terms, wording

        body, url = row["body"], self.link(row["files"])
        told = {
            "report": row["id"],
            "period": terms.period(body["period"]),
            "length": body["period"]["length"],
            "title": wording.name_of(body),
            "data_through": body["data_through"],
            "url": url if urlsplit(url or "").scheme in {"http", "https"} else None,
            **wording.mailed(body),
        }
        people: Sequence[str | None] = self.request.people() or [None]
        return all(
            events.emit(REPORT, {"user_id": user} | told, key=f"{row['id']}:{user}")
            for user in people
        )

    def link(self, files: Mapping[str, str]) -> str | None:
        """Return what opens the report: its page, where there is one."""
        key = next(files[kind] for kind in ("html", "pdf", "json") if kind in files)
        if self.storage.signs_urls:
            return self.storage.signed_url(key, ttl_s=LINK_S)
        return self.storage.url(key)

    def result(self, row: Mapping[Any, Any], *, again: bool) -> GenerateReportResult:
        files = tuple(
            ReportFile(
                format=kind, uri=self.storage.uri(key), url=self.storage.url(key)
            )
            for kind, key in row["files"].items()
        )
        body = row["body"]
        return GenerateReportResult(
            report=row["id"],
            period=row["period"],
            since=date.fromisoformat(body["period"]["since"]),
            until=date.fromisoformat(body["period"]["until"]),
            data_through=body["data_through"],
            accounts=len(body["accounts"]),
            files=files,
            url=self.link(row["files"]),
            again=again,
        )


#: A signed link of a mail is good for as long as S3 allows.
LINK_S: Final = 7 * 86400


def _possible() -> tuple[str, ...]:
    """Return the formats that can be made here."""
    pdf = ("pdf",) if find_spec("weasyprint") else ()
    return ("json", "html", *pdf)


def _without_times(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a report says: not when, nor the pictures' addresses of that hour."""

    def plain(one: Mapping[str, Any]) -> dict[str, Any]:
        quality = {**one["quality"], "collected_at": None}
        lists = {
            name: [{**post, "picture_url": None} for post in one["posts"][name]]
            for name in ("best", "weakest")
        }
        return {**one, "quality": quality, "posts": {**one["posts"], **lists}}

    return {**found, "accounts": [plain(one) for one in found["accounts"]]}


def _today(database: Database, accounts: Sequence[AccountName]) -> date:
    from .calendar import zone_of
    from .figures import zone_of_account

    now = clock.now()
    zones = [zone_of_account(database, a.platform, a.account) for a in accounts]
    return min((now.astimezone(zone_of(z)).date() for z in zones), default=now.date())
