"""What is imported when it is first needed, since not everybody has it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .base import Refusal


def needs_cryptography(module: str) -> Any:
    """Return a module of the package cryptography.

    Raises:
        Refusal: It is not installed.
    """
    try:
        return import_module(f"cryptography.{module}")
    except ModuleNotFoundError:
        text = (
            "the sandbox signs with a package that is missing: pip install cryptography"
        )
        raise Refusal(501, {"error": text}) from None
