"""Adapters are found by name and imported on first use."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_actors.core.errors import (
    ConfigurationError,
    MissingExtraError,
    UnknownAdapterError,
)
from nexus_actors.core.registry import Registry


class Thing(ABC):
    """What the adapters of these tests are."""

    @abstractmethod
    def work(self) -> str: ...


class OurThing(Thing):
    def work(self) -> str:
        return "ours"


def registry(path: str, extra: str | None = None) -> Registry[object]:
    return Registry("thing", object, {"known": (path, extra)})


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


# Adapters of other packages, installed as pip installs them

THINGS = Registry[Thing](
    "thing", Thing, {"ours": (f"{__name__}:OurThing", None)}, "nexus_tests.things"
)

#: What a package may have in its one module.
GOOD = "class Acme(Thing):\n    def work(self): return 'acme'"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package with one module and one entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "things", sys.modules[__name__])

    def make(
        package: str = "acme-things",
        module: str = f"from things import Thing\n{GOOD}",
        *,
        name: str = "acme",
        group: str = "nexus_tests.things",
    ) -> None:
        stem = f"{package.replace('-', '_')}_{tmp_path.name}"
        (tmp_path / f"{stem}.py").write_text(module)
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {stem}:Acme\n")

    return make


def test_an_installed_package_adds_an_adapter(install: Install) -> None:
    install()

    found = THINGS.get("acme")

    assert found().work() == "acme"
    assert THINGS.names() == ["acme", "ours"]


def test_our_own_are_found_beside_it(install: Install) -> None:
    install(module="raise RuntimeError('nobody has asked for me')")

    assert THINGS.get("ours")().work() == "ours"
    assert THINGS.names() == ["acme", "ours"]


def test_an_unknown_name_is_refused_with_the_names_of_all(install: Install) -> None:
    install()

    with pytest.raises(UnknownAdapterError, match=r"no thing 'x'; known: acme, ours"):
        THINGS.get("x")


def test_entry_points_of_another_group_add_nothing(install: Install) -> None:
    install(group="nexus_tests.others")

    assert THINGS.names() == ["ours"]


def test_without_a_group_no_package_can_add_any(install: Install) -> None:
    install()

    assert Registry("thing", Thing, THINGS.known).names() == ["ours"]


BROKEN = {
    "import no_such_package": "ModuleNotFoundError: No module named 'no_such_package'",
    "raise OSError('no licence:\\n  buy one')": "OSError: no licence: buy one",
    "class Acme(": r"SyntaxError: .*",
    "class Other: ...": r"AttributeError: .* has no attribute 'Acme'",
}


@pytest.mark.parametrize("module", BROKEN)
def test_a_package_that_cannot_be_imported_is_named_with_the_reason(
    install: Install, module: str
) -> None:
    install(module=module)

    with pytest.raises(
        ConfigurationError,
        match=f"^the thing 'acme' of the package acme-things cannot be loaded: "
        f"{BROKEN[module]}$",
    ) as caught:
        THINGS.get("acme")

    assert "\n" not in str(caught.value)
    assert caught.value.__cause__


WRONG = {
    "class Acme: ...": "no subclass of .*Thing",
    "Acme = 'a text'": "no subclass of .*Thing",
    "from things import Thing\nclass Acme(Thing): ...": "it does not define work",
}


@pytest.mark.parametrize("module", WRONG)
def test_what_is_no_adapter_is_refused_with_the_name_of_its_package(
    install: Install, module: str
) -> None:
    install(module=module)

    with pytest.raises(
        ConfigurationError,
        match=f"package acme-things cannot be used: .*{WRONG[module]}",
    ):
        THINGS.get("acme")


def test_of_two_packages_with_one_name_both_are_named(install: Install) -> None:
    install()
    install("other-things")

    with pytest.raises(
        ConfigurationError,
        match=r"one thing 'acme', of .*(acme|other)-things, .*-things",
    ):
        THINGS.get("acme")


def test_no_package_takes_the_place_of_ours(install: Install) -> None:
    install(name="ours")

    with pytest.raises(
        ConfigurationError, match="of the packages nexus-actors, acme-things: uninstall"
    ):
        THINGS.get("ours")
