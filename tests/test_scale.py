"""What is tested at full scale is tested at the small one, too."""

from __future__ import annotations

import pytest

from conftest import ROOT


TESTS = """
import pytest
from scale import full, scaled

@pytest.mark.parametrize("size", [1, pytest.param(100, marks=full)])
def test_with_a_twin(size):
    assert size == 1 or scaled("small", full="full") == "full"
"""

LONELY = {
    "marked": "@full\ndef test_lonely(): ...",
    "every set": """
@pytest.mark.parametrize("size", [pytest.param(100, marks=full)])
def test_lonely(size): ...
""",
    "in a class": "@full\nclass TestAll:\n    def test_lonely(self): ...",
    "whole module": "pytestmark = full\ndef test_lonely(): ...",
}


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    pytester.makeini("[pytest]\nmarkers = full\n")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "scale", *arguments)


@pytest.mark.usefixtures("folder")
def test_what_is_for_the_full_scale_is_left_out_at_the_small_one(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(TESTS)

    run(pytester).assert_outcomes(passed=1, deselected=1)


@pytest.mark.usefixtures("folder")
def test_at_full_scale_all_runs_with_the_full_values(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_TEST_SCALE", "full")
    pytester.makepyfile(TESTS)

    run(pytester).assert_outcomes(passed=2)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", LONELY)
def test_a_test_without_a_small_twin_is_an_error(
    pytester: pytest.Pytester, kind: str
) -> None:
    pytester.makepyfile(f"import pytest\nfrom scale import full\n{LONELY[kind]}")

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*test_lonely runs at full scale only: give it*")


@pytest.mark.usefixtures("folder")
def test_a_full_set_can_be_asked_for_by_its_name(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_TEST_SCALE", "full")
    name = pytester.makepyfile(TESTS).name

    run(pytester, f"{name}::test_with_a_twin[100]").assert_outcomes(passed=1)


def test_no_test_looks_at_the_scale_itself() -> None:
    """What skips itself would need no twin."""
    own = {"scale.py", "test_scale.py"}
    places = [p for p in (ROOT / "tests").rglob("*.py") if p.name not in own]

    assert not [p for p in places if "NEXUS_TEST_SCALE" in p.read_text("utf-8")]
