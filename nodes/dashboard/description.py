"""The API described in OpenAPI, for those who have the token.

What every route has in common is said here, once and for routes added later too: how one logs
in, and the errors that the door, unknown names and a store that cannot be used lead to.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from nodes.dashboard.access import COOKIE


class Problem(BaseModel):
    """Why there is no other answer."""

    model_config = ConfigDict(extra="forbid")

    detail: str
    """In words."""


_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_LOGIN = {
    "token": {"type": "http", "scheme": "bearer", "description": "The token of the page."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an application's API."""
    described = app.openapi()
    parts = described.setdefault("components", {})
    parts["securitySchemes"] = _LOGIN
    parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    described["security"] = [{name: []} for name in _LOGIN]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            operation["responses"].update(_refusals(path, "requestBody" in operation))
    return described


def _refusals(path: str, has_body: bool) -> dict[str, Any]:
    said = {"401": "Not logged in.", "503": "A store is busy, full or damaged."}
    if "{" in path:
        said["404"] = "There is nothing of this name."
    if has_body:
        said |= {
            "400": "The body cannot be read.",
            "411": "The body does not say how long it is.",
            "413": "The body is too long.",
        }
    return {code: {"description": why, "content": _CONTENT} for code, why in said.items()}
