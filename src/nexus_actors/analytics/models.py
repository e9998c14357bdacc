"""What the analytics actors take and return."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from nexus_actors.core.models import Model
from nexus_actors.platforms.vault import MessageToken


Platform = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Message(Model):
    """A message; the original system's camelCase names are accepted."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(name, to_camel(name))
        ),
    )


def check_account(platform: str | None, account: str | None) -> None:
    """Refuse an account without its platform, and the other way round."""
    if (platform is None) != (account is None):
        raise ValueError("give platform and account, or neither")


class CollectMetricsRequest(_Message):
    """The body of `collect_metrics`.

    Attributes:
        platform: ``facebook``, ``instagram``, ``tiktok``, ``youtube``, or another
            package's.
        account: An account in the credential store; or *access_token*.
        access_token: When ``NEXUS_SECRET_KEY`` is set, the message carries it
            encrypted.
        post_id: The platform's name for the post.
        post_ids: Likewise, of several; without any, all posts of the last 90 days.
        time_zone: That of the account's days and weeks, such as ``Europe/Berlin``; kept
            for later messages.  UTC until one is given.
        days: Whether to read, too, what the platform itself says of the last days.
        watch: Whether the account is read by itself from now on: young posts often,
            old ones rarely.  For a connected account only; none changes nothing.
    """

    platform: Platform
    account: Name | None = None
    access_token: MessageToken | None = None
    post_id: Name | None = None
    post_ids: Annotated[tuple[Name, ...], Field(max_length=10_000)] = ()
    time_zone: Name | None = None
    days: bool = False
    watch: bool | None = None

    @model_validator(mode="after")
    def _one_owner(self) -> Self:
        if (self.account is None) == (self.access_token is None):
            raise ValueError("give account or access_token")
        if self.post_id is not None and self.post_ids:
            raise ValueError("give post_id or post_ids")
        if self.watch is not None and self.account is None:
            raise ValueError("watch needs an account that is connected")
        return self

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, name: str | None) -> str | None:
        from zoneinfo import ZoneInfo

        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                raise ValueError(
                    f"{name!r} is no time zone, such as Europe/Berlin"
                ) from None
        return name

    def ids(self) -> tuple[str, ...]:
        """Return the posts that are named."""
        return self.post_ids if self.post_id is None else (self.post_id,)


class CollectMetricsResult(Model):
    """What was collected.

    Attributes:
        account: As it is called from now on, in `aggregate_metrics` and all figures.
        posts: How many posts have new figures.
        days: Of how many days the platform has told.
        missing: Posts that were named and that the platform does not show: deleted,
            private, or another account's.
    """

    platform: str
    account: str
    posts: int
    days: int = 0
    missing: tuple[str, ...] = ()


class CollectDueRequest(_Message):
    """The body of `collect_due`, which is sent by itself.

    Attributes:
        account: What the database calls the account.
    """

    account: int


class CollectDueResult(Model):
    """How many posts were read, and of how many days was told; or why none."""

    posts: int = 0
    days: int = 0
    skipped: str | None = None


class SweepCollectionsRequest(Model):
    """The body of `sweep_collections`: nothing."""


class SweepCollectionsResult(Model):
    """Of how many accounts it was overdue to read them; or why none was looked for."""

    sent: int = 0
    skipped: str | None = None


class AggregateMetricsRequest(_Message):
    """The body of `aggregate_metrics`: without an account, all that have new figures.

    Attributes:
        period: ``day`` or ``week``; weeks follow from days, and both are always made.
        rebuild: Whether all is worked out anew, and not just what has changed.
    """

    period: Literal["day", "week"] = "day"
    platform: Platform | None = None
    account: Name | None = None
    rebuild: bool = False

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        check_account(self.platform, self.account)
        return self


class AggregateMetricsResult(Model):
    """How much was worked out: posts that had changed, rows of days, accounts."""

    posts: int
    days: int
    accounts: int


class AccountName(_Message):
    """An account that was collected."""

    platform: Platform
    account: Name

    @classmethod
    def parse_pair(cls, platform: str, account: str) -> Self:
        """Return the account of that platform and name."""
        return cls(platform=platform, account=account)

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        """Take ``platform/account``, too."""
        if isinstance(value, str):
            platform, slash, account = value.partition("/")
            if not slash:
                raise ValueError("write it as platform/account")
            return {"platform": platform, "account": account}
        return value


class DetectAnomaliesRequest(_Message):
    """The body of `detect_anomalies`: without an account, all."""

    platform: Platform | None = None
    account: Name | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        check_account(self.platform, self.account)
        return self


class DetectAnomaliesResult(Model):
    """How many accounts were judged, and how many anomalies are new."""

    accounts: int = 0
    found: int = 0
    skipped: str | None = None


#: How long a report's period is, in our words or in those of people.
PeriodName = Annotated[
    Literal["day", "week", "month", "custom"],
    BeforeValidator(
        lambda value: (
            {"daily": "day", "weekly": "week", "monthly": "month"}.get(value, value)
            if isinstance(value, str)
            else value
        )
    ),
]


class GenerateReportRequest(_Message):
    """The body of `generate_report`.

    Attributes:
        period: ``day``, ``week``, ``month`` or ``custom``.
        since: A day of the period; by default, the last period that has ended.  Of a
            custom one, its first day.
        until: The last day of a custom period.
        platform: With *account*, whom the report is of.
        account: Likewise.
        accounts: Several of them, also as ``platform/account``; without any, all that
            were ever collected.
        user_id: Whose report it is: who is told of it, by routes.
        users: Several of them.
        title: What it is called in place of, say, ``Weekly report``.
        formats: By default ``json``, ``html`` and, if it can be made, ``pdf``.
        plan: The name of the plan that it is made by; it is made once.
    """

    period: PeriodName = "week"
    since: date | None = None
    until: date | None = None
    platform: Platform | None = None
    account: Name | None = None
    accounts: Annotated[tuple[AccountName, ...], Field(max_length=100)] = ()
    user_id: Name | None = None
    users: Annotated[tuple[Name, ...], Field(max_length=1000)] = ()
    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    formats: tuple[Literal["json", "html", "pdf"], ...] = ()
    plan: Name | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_account(self.platform, self.account)
        if self.account is not None and self.accounts:
            raise ValueError("give account or accounts")
        if self.period == "custom" and (self.since is None or self.until is None):
            raise ValueError("a custom period needs since and until")
        if self.period != "custom" and self.until is not None:
            raise ValueError("until is of a custom period alone")
        if self.since and self.until and not self.since <= self.until:
            raise ValueError("until must not be before since")
        if self.since and self.until and (self.until - self.since).days >= LONGEST_DAYS:
            raise ValueError(f"a report is of at most {LONGEST_DAYS} days")
        return self

    def all_accounts(self) -> tuple[AccountName, ...]:
        """Return the accounts that it names."""
        if self.platform is not None and self.account is not None:
            return (AccountName(platform=self.platform, account=self.account),)
        return tuple(dict.fromkeys(self.accounts))

    def people(self) -> list[str]:
        """Return who is told of it."""
        one = [self.user_id] if self.user_id is not None else []
        return list(dict.fromkeys([*one, *self.users]))


#: A report has a bar for each day.
LONGEST_DAYS: Final = 366


class ReportFile(Model):
    """A file of a report: in the store, and for a browser."""

    format: Literal["json", "html", "pdf"]
    uri: str
    url: str


class GenerateReportResult(Model):
    """A report.

    Attributes:
        data_through: Up to which day all its figures are final; None if no day is.
        files: One for each format.
        url: What opens it.
        again: Whether it was there already, and nobody was told again.
    """

    report: str
    period: str
    since: date
    until: date
    data_through: date | None = None
    accounts: int
    files: tuple[ReportFile, ...]
    url: str | None = None
    again: bool = False


class SweepReportsRequest(Model):
    """The body of `sweep_reports`: nothing."""


class SweepReportsResult(Model):
    """How many planned reports were due and not made; or why none was looked for."""

    sent: int = 0
    skipped: str | None = None


class SweepSnapshotsRequest(Model):
    """The body of `sweep_snapshots`: nothing."""


class SweepSnapshotsResult(Model):
    """How many snapshots were thinned out; or why none."""

    deleted: int = 0
    skipped: str | None = None
