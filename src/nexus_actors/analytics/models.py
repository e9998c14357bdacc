"""What the analytics actors take and return."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    AliasGenerator,
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
        if (self.platform is None) != (self.account is None):
            raise ValueError("give platform and account, or neither")
        return self


class AggregateMetricsResult(Model):
    """How much was worked out: posts that had changed, rows of days, accounts."""

    posts: int
    days: int
    accounts: int


class SweepSnapshotsRequest(Model):
    """The body of `sweep_snapshots`: nothing."""


class SweepSnapshotsResult(Model):
    """How many snapshots were thinned out; or why none."""

    deleted: int = 0
    skipped: str | None = None
