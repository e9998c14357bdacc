"""Every adapter that is registered keeps to its class, is told of, and is tested."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from inspect import getdoc, isabstract
from pathlib import Path
from typing import Any

import pytest

import nexus_actors
from conftest import ROOT
from nexus_actors.core.database import SCHEMA
from nexus_actors.core.registry import Registry
from nexus_actors.sandbox.base import Vendor
from nexus_actors.sandbox.vendors import VENDORS


PACKAGE = Path(nexus_actors.__file__).parent
STEPS = sorted((PACKAGE / "core" / "migrations" / "versions").glob("v*.py"))


def registries() -> dict[str, Registry[Any]]:
    """Return every registry of the package, by the place that makes it."""
    makes_one = re.compile(r"= Registry(\[.+?\])?\(|: Final\[Registry\[")
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if makes_one.search(path.read_text("utf-8")):
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            for variable, value in vars(import_module(name)).items():
                if isinstance(value, Registry):
                    found[f"{name}.{variable}"] = value
    return found


def adapters() -> list[Any]:
    """Return every adapter with its name and abstract class; the vendors, too."""
    found = [
        (name, registry.base, registry.get(name))
        for registry in registries().values()
        for name in registry.known
    ]
    found += [(vendor.name, Vendor, vendor) for vendor in VENDORS]
    return [pytest.param(*each, id=f"{each[1].__name__} {each[0]}") for each in found]


def under_contract() -> set[tuple[str, str]]:
    """Return pairs of an abstract class and an adapter that its contract is run on."""
    return {
        (base.id.removesuffix("Contract"), line.value.id)
        for path in (ROOT / "tests" / "contract").rglob("test_*.py")
        for test in ast.parse(path.read_text("utf-8")).body
        if isinstance(test, ast.ClassDef) and test.name.startswith("Test")
        for base in test.bases
        for line in test.body
        if isinstance(line, ast.Assign)
        and ast.unparse(line.targets[0]) == "adapter"
        and isinstance(base, ast.Name)
        and isinstance(line.value, ast.Name)
    }


def test_the_registries_are_found() -> None:
    assert "nexus_actors.video.base.packagers" in registries()
    assert len(adapters()) >= 4


@pytest.mark.parametrize(("name", "base", "adapter"), adapters())
def test_an_adapter_is_what_its_registry_says(
    name: str, base: type[Any], adapter: type[Any]
) -> None:
    assert issubclass(adapter, base)
    assert not isabstract(adapter)
    assert adapter.name == name


@pytest.mark.parametrize(("name", "base", "adapter"), adapters())
def test_an_adapter_is_told_of_in_its_module_and_in_the_docs(
    name: str, base: type[Any], adapter: type[Any]
) -> None:
    pages = [page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md")]

    assert getdoc(import_module(adapter.__module__)), base
    assert any(
        re.search(rf"\b{re.escape(name)}\b", page, re.IGNORECASE) for page in pages
    )


@pytest.mark.parametrize(("name", "base", "adapter"), adapters())
def test_an_adapter_is_held_to_the_contract_of_its_class(
    name: str, base: type[Any], adapter: type[Any]
) -> None:
    assert (base.__name__, adapter.__name__) in under_contract(), (
        f"{name}: write class Test{adapter.__name__}({base.__name__}Contract) with "
        f"adapter = {adapter.__name__} below tests/contract"
    )


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.stem)
def test_a_migration_follows_the_one_before_it_and_says_what_it_does(
    step: Path,
) -> None:
    number = STEPS.index(step) + 1
    module = import_module(f"nexus_actors.core.migrations.versions.{step.stem}")

    assert module.revision == f"{number:04}"
    assert module.down_revision == (f"{number - 1:04}" if number > 1 else None)
    assert step.stem.startswith(f"v{module.revision}_")
    assert getdoc(module)
    assert getdoc(module.upgrade)
    assert not hasattr(module, "downgrade")  # nobody would have tried it


def test_the_last_migration_is_the_schema_of_this_release() -> None:
    assert STEPS[-1].stem.startswith(f"v{SCHEMA}_")
