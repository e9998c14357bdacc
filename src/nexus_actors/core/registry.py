"""Adapters found by name, imported on first use."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from .errors import ConfigurationError, MissingExtraError, UnknownAdapterError


T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The adapters behind an abstract class: ours, and those of other packages.

    Attributes:
        kind: What a person calls one.
        base: The abstract class.
        known: Ours by name: ``"module:Class"``, and the extra that it needs.
        group: The entry points by which installed packages add theirs, such as
            ``nexus_actors.publishers``; none can where it is ``None``.
    """

    kind: str
    base: type[Any]
    known: Mapping[str, tuple[str, str | None]]
    group: str | None = None

    def names(self) -> list[str]:
        """Return the names of all that are installed, sorted."""
        return sorted({*self.known, *(plugin.name for plugin in self._plugins())})

    def get(self, name: str) -> type[T]:
        """Import and return the adapter called *name*.

        Raises:
            UnknownAdapterError: There is none; lists those that are known.
            MissingExtraError: It stands on a package that is not installed.
            ConfigurationError: Another package's cannot be used, or has a name that is
                taken; names the package.
        """
        plugins = [plugin for plugin in self._plugins() if plugin.name == name]
        ours = ["nexus-actors"] if name in self.known else []
        givers = ours + [_package(plugin) for plugin in plugins]
        if not givers:
            known = ", ".join(self.names())
            raise UnknownAdapterError(f"no {self.kind} {name!r}; known: {known}")
        if len(givers) > 1:
            raise ConfigurationError(
                f"there is more than one {self.kind} {name!r}, of the packages "
                f"{', '.join(givers)}: uninstall all but one"
            )
        return cast("type[T]", self._ours(name) if ours else self._theirs(plugins[0]))

    def _plugins(self) -> tuple[EntryPoint, ...]:
        return _installed(self.group, *sys.path) if self.group else ()

    def _ours(self, name: str) -> Any:
        path, extra = self.known[name]
        module, _, class_name = path.partition(":")
        try:
            return getattr(import_module(module), class_name)
        except ModuleNotFoundError as error:
            ours = (error.name or "").startswith("nexus_actors")
            if extra is None or ours:
                raise
            raise MissingExtraError(f"{self.kind} {name!r}", extra) from error

    def _theirs(self, plugin: EntryPoint) -> Any:
        which = f"the {self.kind} {plugin.name!r} of the package {_package(plugin)}"
        try:
            found = plugin.load()
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigurationError(f"{which} cannot be loaded: {reason}") from error
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise ConfigurationError(
                f"{which} cannot be used: {plugin.value} is no subclass of "
                f"{self.base.__module__}.{self.base.__qualname__}"
            )
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise ConfigurationError(
                f"{which} cannot be used: it does not define {', '.join(missing)}"
            )
        return found


@lru_cache(maxsize=64)
def _installed(group: str, *_path: str) -> tuple[EntryPoint, ...]:
    """Return what packages add; looked for once, since it reads a file of each."""
    return tuple(entry_points(group=group))


def _package(plugin: EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else plugin.module
