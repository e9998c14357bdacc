"""Adapters found by name, imported on first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar, cast

from .errors import MissingExtraError, UnknownAdapterError


T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Map an adapter's name to ``"module:Class"`` and the extra that it needs."""

    kind: str
    known: Mapping[str, tuple[str, str | None]]

    def get(self, name: str) -> type[T]:
        """Import and return the adapter called *name*.

        Raises:
            UnknownAdapterError: There is none; lists those that are known.
            MissingExtraError: It stands on a package that is not installed.
        """
        if name not in self.known:
            known = ", ".join(sorted(self.known))
            raise UnknownAdapterError(f"no {self.kind} {name!r}; known: {known}")
        path, extra = self.known[name]
        module, _, class_name = path.partition(":")
        try:
            found = getattr(import_module(module), class_name)
        except ModuleNotFoundError as error:
            ours = (error.name or "").startswith("nexus_actors")
            if extra is None or ours:
                raise
            raise MissingExtraError(f"{self.kind} {name!r}", extra) from error
        return cast("type[T]", found)
