"""Google's own descriptions of YouTube's APIs."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any


def discovery(name: str = "youtube.v3") -> dict[str, Any]:
    folder = files("googleapiclient") / "discovery_cache/documents"
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_bytes())
    return document


def request_faults(
    document: dict[str, Any], method: str, path: str, query: dict[str, list[str]]
) -> list[str]:
    """What is wrong with a request, by a discovery document."""
    known = {
        (found["httpMethod"], found["path"]): found
        for resource in document["resources"].values()
        for found in resource.get("methods", {}).values()
    }
    if (method, path) not in known:
        return [f"{method} {path}: unknown"]
    parameters = known[method, path].get("parameters", {})
    wrong = [f"{name}: unknown" for name in query if name not in parameters]
    for name, parameter in parameters.items():
        text = parameter.get("description", "")
        needed = parameter.get("required") or "required: true" in text
        if needed and name not in query:
            wrong.append(f"{name}: missing")
        pattern = re.search(r"pattern: \"?(\S+)$", text)
        for value in query.get(name, []):
            if pattern and not re.fullmatch(pattern.group(1), value):
                wrong.append(f"{name}: {value!r} is not {pattern.group(1)}")
            if parameter["type"] == "integer" and not value.isdecimal():
                wrong.append(f"{name}: {value!r} is no number")
    return wrong


def faults(value: Any, schema: dict[str, Any], schemas: Any, at: str) -> list[str]:
    """What is wrong with *value*, by the schema of a discovery document."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool}
    kinds |= {"any": object}
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
