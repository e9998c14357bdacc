"""Who may import whom; the drawing is in the documentation's page on the design."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nexus_actors


PACKAGE = Path(nexus_actors.__file__).parent

BELOW = {"core", "engine"}
ALLOWED = {
    "core": {"core"},
    "engine": BELOW,
    "platforms": BELOW | {"platforms"},
    "video": BELOW | {"video"},
    "social": BELOW | {"platforms", "social"},
    "analytics": BELOW | {"platforms", "analytics"},
    "notifications": BELOW | {"notifications"},
    "sandbox": {"sandbox"},
}

#: What stands above the layers and may import all of them.
TOP = {"__init__", "__main__", "app", "cli", "dashboard", "testing", "worker"}

#: Who may know dramatiq and Redis.
KNOW_THE_QUEUE = {"app", "cli", "dashboard", "engine", "testing", "worker"}


def imported_names(module: Path) -> set[str]:
    here = module.relative_to(PACKAGE.parent).with_suffix("").parts
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else ()
            stem = ".".join([*base, node.module or ""]).strip(".")
            names |= {f"{stem}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def imported_layers(module: Path) -> set[str]:
    ours = [name for name in imported_names(module) if name.startswith("nexus_actors.")]
    return {name.split(".")[1] for name in ours}


def modules_of(layer: str) -> list[Path]:
    alone = PACKAGE / f"{layer}.py"
    return [alone] if alone.exists() else sorted((PACKAGE / layer).rglob("*.py"))


def layers() -> list[str]:
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
    return sorted(found | {path.parent.name for path in PACKAGE.glob("*/__init__.py")})


@pytest.mark.parametrize("layer", [name for name in layers() if name not in TOP])
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    for module in modules_of(layer):
        assert imported_layers(module) <= ALLOWED[layer], module


@pytest.mark.parametrize(
    "layer", [name for name in layers() if name not in KNOW_THE_QUEUE]
)
def test_only_the_engine_and_what_composes_it_know_dramatiq_and_redis(
    layer: str,
) -> None:
    for module in modules_of(layer):
        roots = {name.split(".")[0] for name in imported_names(module)}
        assert not roots & {"dramatiq", "redis"}, module


def test_relative_and_absolute_imports_are_seen() -> None:
    module = PACKAGE / "video" / "connect.py"

    assert imported_layers(module) >= {"core", "engine", "video"}
