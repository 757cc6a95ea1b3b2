"""What every model of a resource or file shares."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A part of a resource: camelCase in Kubernetes, snake_case in files and in Python.

    Unknown fields are refused, so that a typing error is never silently ignored.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        # Errors speak of files, which are snake_case; resources were checked by the API server.
        loc_by_alias=False,
        # What was written may be a secret in the wrong field.
        hide_input_in_errors=True,
    )


def rules(*pairs: tuple[str, str]) -> dict[str, JsonValue]:
    """CEL rules for a model's schema: pairs of the rule and what to say when it is broken."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }


def keyed_by(name: str) -> dict[str, JsonValue]:
    """Schema of a list whose entries server-side apply tells apart by a field."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name]}
