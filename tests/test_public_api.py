"""What the package and its domains promise by name."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType

import pytest

import nexus_actors
from nexus_actors.app import DOMAINS
from nexus_actors.core import errors
from public import PUBLIC


@pytest.fixture(params=PUBLIC)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def test_the_list_of_names_is_sorted_and_has_no_doubles(module: ModuleType) -> None:
    assert list(module.__all__) == sorted(set(module.__all__))


def test_every_name_is_there_and_has_a_docstring(module: ModuleType) -> None:
    for name in module.__all__:
        assert inspect.getdoc(getattr(module, name)), name


def test_dir_lists_every_name(module: ModuleType) -> None:
    assert set(module.__all__) <= set(dir(module))


def test_a_name_that_is_not_there_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_every_error_is_public() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.NexusError)
    }

    assert defined <= set(nexus_actors.__all__)


def test_every_actor_of_a_domain_is_public_in_it() -> None:
    from nexus_actors.app import actors_of

    for domain, path in DOMAINS.items():
        public = set(import_module(path.rpartition(".")[0]).__all__)
        names = {actor.actor_name.split(".")[1] for actor in actors_of([domain])}
        assert names <= public
