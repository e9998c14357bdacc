"""Public names that are imported on first use, so that importing a package is cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for the module called *package*.

    Args:
        package: The ``__name__`` of the module that has the names.
        homes: Names by the module, relative to *package*, that they lie in; a module
            may be named among its own.
    """
    module_of = {name: home for home, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: N807 - becomes the module's
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(module_of[name], package)
        value = home if home.__name__.endswith(f".{name}") else getattr(home, name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:  # noqa: N807 - becomes the module's
        return sorted({*vars(sys.modules[package]), *module_of})

    return __getattr__, __dir__
