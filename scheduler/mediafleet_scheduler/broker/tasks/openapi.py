"""The OpenAPI document of the JSON API, and a page that shows it without any script."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from mediafleet_scheduler.broker.tasks.messages import (
    MOST_WAIT_SECONDS,
    Problems,
    Submission,
    Task,
)

_REF: Final = "#/components/schemas/"
_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    _, schemas = models_json_schema(
        [(each, "validation") for each in (Submission, Task, Problems)],
        ref_template=_REF + "{model}",
    )
    about = "Tasks for remote AI workers, for callers that have no orchestrator."
    return {
        "openapi": "3.1.0",
        "info": {"title": "mediafleet broker", "version": "1", "description": about},
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> dict[str, Any]:
    wait = {
        "name": "wait",
        "in": "query",
        "description": "Seconds to wait for the result.",
        "schema": {"type": "number", "minimum": 0, "maximum": MOST_WAIT_SECONDS, "default": 0},
    }
    submit = _operation("Submit a task", {"202": ("The task.", _json("Task"))})
    submit["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"{_REF}Submission"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["task", "file"],
                    "properties": {
                        "task": {"$ref": f"{_REF}Submission"},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            },
        },
    }
    runner = {"application/json": {"schema": {"type": "object"}}}
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        "/v1/tasks": {"post": submit},
        "/v1/tasks/{id}": {
            "get": _operation("See how a task stands", {"200": ("The task.", _json("Task"))}, _ID),
            "delete": _operation(
                "Cancel a task, or throw its result away", {"204": ("It is gone.", None)}, _ID
            ),
        },
        "/v1/tasks/{id}/result": {
            "get": _operation(
                "Read a task's result",
                {
                    "200": ("As the ai-runner answers, files as data URLs.", runner),
                    "202": ("There is none yet.", _json("Task")),
                },
                _ID,
                wait,
            )
        },
        "/v1/tasks/{id}/events": {
            "get": _operation(
                "Read an LLM's words as they come, once", {"200": ("data: lines.", events)}, _ID
            )
        },
    }


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"{_REF}{model}"}}}


def _operation(
    summary: str, answers: dict[str, tuple[str, dict[str, Any] | None]], *parameters: dict[str, Any]
) -> dict[str, Any]:
    responses: dict[str, Any] = {
        status: {"description": said, **({"content": content} if content else {})}
        for status, (said, content) in answers.items()
    }
    responses["default"] = {"description": "A refusal.", "content": _json("Problems")}
    return {"summary": summary, "parameters": list(parameters), "responses": responses}


@cache
def page() -> str:
    """The same for people."""
    rows = "".join(
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td>"
        f"<td>{escape(operation['summary'])}</td>"
        f"<td>{escape(', '.join(operation['responses']))}</td></tr>"
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    )
    schemas = "".join(
        f"<h2>{escape(name)}</h2><pre>{escape(json.dumps(schema, indent=2))}</pre>"
        for name, schema in document()["components"]["schemas"].items()
    )
    return (
        "<!doctype html><meta charset=utf-8><title>mediafleet broker: tasks</title>"
        "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto}"
        "td{padding:.2em 1em .2em 0}pre{background:#f4f4f4;padding:1em;overflow:auto}</style>"
        f"<h1>Tasks</h1><p>{escape(document()['info']['description'])} "
        "The document: <a href=openapi.json>openapi.json</a></p>"
        f"<table>{rows}</table>{schemas}"
    )
