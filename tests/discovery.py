"""Google's own description of YouTube's Data API."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def discovery() -> dict[str, Any]:
    folder = files("googleapiclient") / "discovery_cache/documents"
    document: dict[str, Any] = json.loads((folder / "youtube.v3.json").read_bytes())
    return document


def faults(value: Any, schema: dict[str, Any], schemas: Any, at: str) -> list[str]:
    """What is wrong with *value*, by the schema of a discovery document."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool}
    if not isinstance(value, kinds.get(schema["type"], int)):
        return [f"{at}: {value!r} is no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is not of the enumeration"]
    if isinstance(value, list):
        lists = [faults(v, schema["items"], schemas, f"{at}[]") for v in value]
        return [fault for found in lists for fault in found]
    if not isinstance(value, dict):
        return []
    found = []
    for name, inner in value.items():
        known = schema.get("properties", {}).get(name) or schema.get(
            "additionalProperties"
        )
        if known is None:
            found.append(f"{at}.{name}: unknown")
        else:
            found += faults(inner, known, schemas, f"{at}.{name}")
    return found
