"""JSON Schema of a deployment file, for editors.

Sources and sinks are any of the kinds that can be imported here; a kind whose extra is not
installed is left out. Beside what the settings say, the schema knows what the loader adds:
``${VAR}`` in place of any value, ``X_file`` for any text ``X``, and ``when`` on list items.
"""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

from pydantic.json_schema import models_json_schema

from pipeline.config.deployment import Deployment
from pipeline.config.document import WHEN
from pipeline.config.fields import nested, takes_text
from pipeline.config.secrets import SUFFIX
from pipeline.core.errors import DependencyMissing, PluginError
from pipeline.core.settings import Settings
from pipeline.plugins import Family
from pipeline.sinks.base import SINKS
from pipeline.sources.base import SOURCES

Node: TypeAlias = dict[str, Any]

VARIABLE: Node = {
    "type": "string",
    "pattern": r"\$\{[^}]+\}",
    "description": "A value with variables: ${NAME}, ${NAME:-default} or ${NAME:?message}.",
}
WHEN_SCHEMA: Node = {
    "type": ["string", "boolean", "number", "null"],
    "description": "Leave this item out when empty or false, for example ${WEBHOOK_URL:-}.",
}
_VARIABLE_REF: Node = {"$ref": "#/$defs/Variable"}
_SINGLE = {"integer", "number", "boolean", "null"}


def deployment_schema() -> Node:
    """The schema as plain data (JSON Schema 2020-12)."""
    families = {SOURCES: importable(SOURCES), SINKS: importable(SINKS)}
    plugins = [settings for found in families.values() for settings in found.values()]
    models = _all_settings([Deployment, *plugins])
    refs, top = models_json_schema([(model, "validation") for model in models])
    names = {model: refs[model, "validation"]["$ref"].rpartition("/")[2] for model in models}
    definitions: dict[str, Node] = top["$defs"]
    for model in models:
        _allow_secret_files(definitions[names[model]], model)
    for family, found in families.items():
        definitions[names[family.base]] = {
            "description": f"One of the {family.name}.",
            "anyOf": [{"$ref": f"#/$defs/{names[settings]}"} for settings in found.values()],
        }
        for kind, settings in found.items():
            _as_item(definitions[names[settings]], kind, settings)
    definitions = {name: _allow_variables(node) for name, node in definitions.items()}
    root = definitions.pop(names[Deployment])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "A fusewatch deployment",
        "$defs": dict(sorted({**definitions, "Variable": VARIABLE}.items())),
    }


def importable(family: Family) -> dict[str, type[Settings]]:
    """Settings classes of the kinds that can be used here, by kind."""
    found = {}
    for kind in family.kinds():
        try:
            found[kind] = family.settings(kind)
        except (DependencyMissing, PluginError):
            continue
    return found


def _as_item(node: Node, kind: str, settings: type[Settings]) -> None:
    properties = node.setdefault("properties", {})
    properties["type"] = {**properties.get("type", {}), "const": kind, "type": "string"}
    properties["type"].pop("default", None)
    properties[WHEN] = WHEN_SCHEMA
    node["required"] = ["type", *(name for name in node.get("required", []) if name != "type")]
    node.setdefault("description", (settings.__doc__ or "").strip())


def _all_settings(models: list[type[Settings]]) -> list[type[Settings]]:
    found: dict[type[Settings], None] = {}
    queue = list(models)
    while queue:
        settings = queue.pop()
        if settings not in found:
            found[settings] = None
            for info in settings.model_fields.values():
                queue += [inner for _, inner in nested(info.annotation)]
    return list(found)


def _allow_secret_files(node: Node, settings: type[Settings]) -> None:
    """Let every text field be given as ``X_file``, also where ``X`` is required."""
    texts = [
        name
        for name, info in settings.model_fields.items()
        if name != "type" and takes_text(info.annotation)
    ]
    if not texts:
        return
    node["patternProperties"] = {
        f"^({'|'.join(texts)}){SUFFIX}$": {
            "type": "string",
            "description": "File whose content is the value; white space around it is dropped.",
        }
    }
    required = node.get("required", [])
    either = [name for name in required if name in texts]
    if either:
        node["required"] = [name for name in required if name not in either]
        node["allOf"] = [
            {"anyOf": [{"required": [name]}, {"required": [f"{name}{SUFFIX}"]}]} for name in either
        ]


def _allow_variables(node: Node) -> Node:
    """The same schema, in which every single value may be a ``${VAR}`` text."""
    if "properties" not in node:
        return _value(node)
    node = copy.copy(node)
    for key in ("properties", "patternProperties"):
        if key in node:
            node[key] = {
                name: part if name in ("type", WHEN) else _value(part)
                for name, part in node[key].items()
            }
    return node


def _value(node: Node) -> Node:
    node = {key: part for key, part in node.items() if key != "title"}
    if "items" in node and isinstance(node["items"], dict):
        return {**node, "items": _value(node["items"])}
    if isinstance(node.get("additionalProperties"), dict):
        return {**node, "additionalProperties": _value(node["additionalProperties"])}
    if "anyOf" in node:
        options = [_value(option) for option in node["anyOf"]]
        flat: list[Node] = []
        for option in options:
            flat += option["anyOf"] if set(option) == {"anyOf"} else [option]
        unique = [option for at, option in enumerate(flat) if option not in flat[:at]]
        return {**node, "anyOf": unique}
    if not _refuses_text(node):
        return node
    about: Node = {key: node[key] for key in ("description", "default") if key in node}
    rule = {key: part for key, part in node.items() if key not in about}
    return {**about, "anyOf": [rule, _VARIABLE_REF]}


def _refuses_text(node: Node) -> bool:
    """Whether a single value of this kind would not take a ``${VAR}`` text as it is."""
    if node.get("type") in _SINGLE - {"null"}:
        return True
    limited = {"pattern", "enum", "const", "format", "minLength", "maxLength"} & set(node)
    return bool(limited)
