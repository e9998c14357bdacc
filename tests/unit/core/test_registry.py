"""Adapters are found by name and imported on first use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nexus_actors.core.errors import MissingExtraError, UnknownAdapterError
from nexus_actors.core.registry import Registry


def registry(path: str, extra: str | None = None) -> Registry[object]:
    return Registry("thing", {"known": (path, extra)})


def test_an_adapter_is_the_class_that_its_path_names() -> None:
    assert registry("decimal:Decimal").get("known").__name__ == "Decimal"


def test_a_registry_imports_nothing_before_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adapter_made_late.py").write_text("class Late: ...\n")
    monkeypatch.syspath_prepend(tmp_path)

    made = registry("adapter_made_late:Late")

    assert "adapter_made_late" not in sys.modules
    assert made.get("known").__name__ == "Late"


def test_an_unknown_name_is_refused_with_the_names_that_are_known() -> None:
    with pytest.raises(UnknownAdapterError, match=r"no thing 'other'; known: known"):
        registry("decimal:Decimal").get("other")


def test_a_missing_package_is_answered_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtraError, match=r'pip install "nexus-actors\[video\]"'):
        registry("no_such_package:Adapter", "video").get("known")


def test_a_missing_module_of_our_own_is_not_blamed_on_an_extra() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        registry("nexus_actors.no_such_module:Adapter", "video").get("known")

    assert not isinstance(caught.value, MissingExtraError)


def test_a_missing_module_of_an_adapter_without_an_extra_is_told_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        registry("no_such_package:Adapter").get("known")
