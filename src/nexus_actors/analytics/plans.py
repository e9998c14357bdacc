"""Reports that are made by themselves, once all days of their periods are final."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock
from nexus_actors.core.settings import CoreSettings
from nexus_actors.platforms.vault import open_database

from .metrics import latency_ms
from .models import SweepReportsResult
from .settings import AnalyticsSettings, ReportPlan


if TYPE_CHECKING:
    from nexus_actors.core.database import Database

    from .reports.periods import Length, Period

#: A planned report is made so long after its last day is final.
AFTER: Final = timedelta(hours=3)


def sweep_plans() -> dict[str, Any]:
    """Send for each planned report that is due and was not made."""
    from .actors import generate_report
    from .reports.periods import Length

    sent = 0
    plans = AnalyticsSettings.load().analytics_reports
    if not plans:
        return SweepReportsResult(sent=0).to_json()
    database = open_database(CoreSettings.load())
    for plan in plans:
        due = _due(database, plan, Length(plan.period))
        if due is not None and not _is_made(database, planned(plan.name, due)):
            generate_report.send(
                period=plan.period,
                since=due.since.isoformat(),
                accounts=[one.model_dump() for one in plan.accounts],
                users=list(plan.users),
                title=plan.title,
                plan=plan.name,
            )
            sent += 1
    return SweepReportsResult(sent=sent).to_json()


def _due(database: Database, plan: ReportPlan, length: Length) -> Period | None:
    """Return the last period all of whose days are final by now."""
    from .calendar import midnights, to_day
    from .figures import known_accounts, zone_of_account
    from .reports.periods import last_ended

    names = [(one.platform, one.account) for one in plan.accounts]
    known = known_accounts(database)
    accounts = [one for one in names or known if one in known]
    if not accounts:
        return None
    now, ends = clock.now_ms(), []
    for platform, account in accounts:
        zone = zone_of_account(database, platform, account)
        late = latency_ms(platform) + round(AFTER.total_seconds() * 1000)
        ends.append((zone, late))
    candidate = last_ended(length, clock.now().date() + timedelta(days=1))
    while any(
        midnights(z, to_day(candidate.until), to_day(candidate.until))[1] + late > now
        for z, late in ends
    ):
        candidate = last_ended(length, candidate.since)
    return candidate


def planned(plan: str, period: Period) -> str:
    """Return what a plan's report of a period is called."""
    return f"plan {plan} {period.since} {period.until}"


def _is_made(database: Database, name: str) -> bool:
    from nexus_actors.core.tables import reports as table

    query = table.select().where(table.c.request == name)
    with database.read() as connection:
        return connection.execute(query).first() is not None
