"""How Sphinx builds the pages; warnings are errors."""

from __future__ import annotations

from importlib.metadata import version as version_of


project = "nexus-actors"
author = "The nexus-actors developers"
copyright = author  # noqa: A001 - Sphinx's name
version = release = version_of("nexus-actors")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
nitpicky = False
autodoc_typehints = "description"
autodoc_member_order = "bysource"
default_role = "code"

html_theme = "furo"
html_title = f"nexus-actors {version}"
exclude_patterns = ["_build", "pypi.md"]  # the latter is for PyPI
