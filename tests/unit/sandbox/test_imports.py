from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nexus_actors


PACKAGE = Path(nexus_actors.__file__).parent
MODULES = sorted((PACKAGE / "sandbox").rglob("*.py"))


def imported(module: Path) -> set[str]:
    """Return the full names of what *module* imports."""
    here = module.relative_to(PACKAGE.parent).with_suffix("").parts
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{stem}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_sandbox_imports_nothing_of_ours(module: Path) -> None:
    ours = {name for name in imported(module) if name.startswith("nexus_actors")}

    assert {n for n in ours if not n.startswith("nexus_actors.sandbox.")} == set()
