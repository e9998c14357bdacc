"""Validators made of the API documents that vendors have published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema


Validate = Callable[[Any], Any]


class OpenApi:
    """A document in OpenAPI; *mend* takes out its known defects."""

    def __init__(
        self, file: Path, mend: Callable[[Any], None] = lambda _: None
    ) -> None:
        self._document = json.loads(file.read_text())
        mend(self._document)
        _allow_null(self._document)

    def request(self, method: str, path: str) -> Validate:
        """Return what checks the body of a request."""
        body = self._follow(self._operation(method, path)["requestBody"])
        return self._validator(body)

    def answer(self, method: str, path: str, status: int) -> Validate:
        """Return what checks an answer; KeyError where the document has none."""
        answers = self._operation(method, path)["responses"]
        return self._validator(self._follow(answers[str(status)]))

    def _operation(self, method: str, path: str) -> Any:
        return self._document["paths"][path][method.lower()]

    def _follow(self, node: Any) -> Any:
        while "$ref" in node:
            found = self._document
            for name in node["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            node = found
        return node

    def _validator(self, node: Any) -> Validate:
        content = node["content"]["application/json"]["schema"]
        schema = {"allOf": [content], "components": self._document["components"]}
        return compiled(schema)


def discovery(file: Path, name: str) -> Validate:
    """Return what checks against a schema of a Google discovery document."""
    schemas = json.loads(file.read_text())["schemas"]
    closed = {n: {**s, "additionalProperties": False} for n, s in schemas.items()}
    root = {"allOf": [{"$ref": name}], "$defs": closed}
    return compiled(_google(root))


def compiled(schema: Any) -> Validate:
    validate: Validate = fastjsonschema.compile(schema)
    return validate


def _allow_null(node: Any) -> None:
    if isinstance(node, dict):
        if node.pop("nullable", False):
            node["type"] = [node["type"], "null"]
        for inner in node.values():
            _allow_null(inner)
    elif isinstance(node, list):
        for inner in node:
            _allow_null(inner)


def _google(node: Any) -> Any:
    """Return JSON Schema for Google's own: references, any, formats of numbers."""
    if isinstance(node, list):
        return [_google(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        return {"$ref": f"#/$defs/{node['$ref']}"}
    own = {"format", "id"}  # where they are no properties of these names
    kept = {k: v for k, v in node.items() if k not in own or not isinstance(v, str)}
    if kept.get("type") == "any":
        del kept["type"]
    return {key: _google(inner) for key, inner in kept.items()}
