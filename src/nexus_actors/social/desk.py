"""What every call of the domain needs: the settings, the accounts, the publications."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.keyring import Keyring
from nexus_actors.core.settings import CoreSettings
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.tokens import Tokens
from nexus_actors.platforms.vault import open_database, open_tokens

from .publications import Publications
from .row import Publication
from .settings import SocialSettings
from .sources import Source


@dataclass(frozen=True, slots=True)
class Desk:
    """What every call here needs, made once for a process and its settings."""

    core: CoreSettings
    settings: SocialSettings
    platforms: PlatformSettings
    guard: Guard
    table: Publications
    tokens: Tokens | None

    @classmethod
    def open(cls) -> Desk:
        """Read the settings, and open the database.

        Raises:
            ConfigurationError: One of them is wrong.
        """
        return _open(frozenset(os.environ.items()))

    def accounts(self) -> Tokens:
        """Return the accounts.

        Raises:
            ConfigurationError: There is no key to open them with.
        """
        if self.tokens is None:
            Keyring.from_settings(self.core)  # says what is missing
            raise ConfigurationError("NEXUS_SECRET_KEY is not set")
        return self.tokens

    def source_of(self, row: Publication) -> Source:
        """Return what brings the files of a publication here."""
        folder = self.core.temp_dir / "social" / row.id
        return Source(self.core, folder, self.settings.max_file_bytes, self.guard)


@lru_cache(maxsize=2)
def _open(_environ: Collection[tuple[str, str]]) -> Desk:
    """Open it for an environment: reading that each time takes as long as a call."""
    core, platforms = CoreSettings.load(), PlatformSettings.load()
    settings, database = SocialSettings.load(), open_database(core)
    ring = Keyring.from_settings(core) if core.secret_key else None
    tokens = None
    if ring is not None or platforms.credential_store is not None:
        tokens = open_tokens(core, database, platforms)
    guard = Guard(GuardSettings.load())
    return Desk(core, settings, platforms, guard, Publications(database, ring), tokens)
