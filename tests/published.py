"""The vendors' own schemas, strictly: a key that a schema does not name is a mistake, as it is for their services."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parent / "schemas"


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    """Every place where a value differs from a schema."""
    validator = jsonschema.Draft202012Validator(schema)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(value)]


@cache
def vendored(name: str) -> dict[str, Any]:
    """A schema of tests/schemas, as the API server applies it with strict validation."""
    found: dict[str, Any] = _strict(json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8")))
    return found


@cache
def packaged(name: str) -> dict[str, Any]:
    """A schema that check-jsonschema brings: `compose-spec`, `cloudbuild`, `github-workflows`."""
    text = (resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def discovery(api: str, name: str) -> dict[str, Any]:
    """A message of one of Google's APIs, as its discovery document describes it."""
    described = _described(api)
    # The message and what it is made of; there are thousands of others.
    found, waiting = {}, [name]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found[key] = _strict(_references(described[key]))
            waiting += re.findall(r"#/\$defs/(\w+)", json.dumps(found[key]))
    return {"$ref": f"#/$defs/{name}", "$defs": found}


@cache
def _described(api: str) -> dict[str, Any]:
    document = resources.files("googleapiclient") / "discovery_cache" / "documents" / f"{api}.json"
    found: dict[str, Any] = json.loads(document.read_text("utf-8"))["schemas"]
    return found


def _references(value: Any) -> Any:
    """Discovery's references and its type `any`, as JSON Schema writes them."""
    if isinstance(value, list):
        return [_references(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str):
        return {"$ref": f"#/$defs/{value['$ref']}"}
    # `required` and `pattern` mean other things in a discovery document.
    dropped = {"required", "id", "format", "annotations"}
    kept = {key: _references(item) for key, item in value.items() if key not in dropped or isinstance(item, dict)}
    return {key: item for key, item in kept.items() if (key, item) != ("type", "any")}


def _strict(value: Any) -> Any:
    """Where properties are named, no others are allowed, unless the schema says that they are kept."""
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _strict(item) for key, item in value.items()}
    named = isinstance(value.get("properties"), dict) and value.get("type") == "object"
    if named and "additionalProperties" not in value and not value.get("x-kubernetes-preserve-unknown-fields"):
        found["additionalProperties"] = False
    return found
