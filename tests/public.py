"""Which modules' ``__all__`` are promised."""

from __future__ import annotations

from typing import Final

from nexus_actors.app import DOMAINS


PUBLIC: Final = [
    *("nexus_actors", "nexus_actors.dashboard", "nexus_actors.sandbox"),
    "nexus_actors.testing.contracts",
    *(path.rpartition(".")[0] for path in DOMAINS.values()),
]
