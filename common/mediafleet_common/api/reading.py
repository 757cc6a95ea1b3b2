"""Reads the spec of a resource, whose CRD may be newer than this version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from mediafleet_common.api.base import Model

SpecT = TypeVar("SpecT", bound=Model)


class UnreadableObjectError(ValueError):
    """A resource that this version cannot read; the text names the field."""


def strictly(
    model: type[SpecT], spec: Mapping[str, Any], unknown: Literal["ignore", "forbid"]
) -> SpecT:
    """A spec as the API server reads it: a number in a text is no number.

    Raises:
        ValidationError: it refuses this.
    """
    return model.model_validate_json(json.dumps(spec), strict=True, extra=unknown)


def read_spec(model: type[SpecT], spec: Mapping[str, Any]) -> SpecT:
    """A resource's spec.

    Raises:
        UnreadableObjectError: it is not of this version.
    """
    try:
        # A CRD is upgraded before we are: what only the newer one knows is no reason to stop.
        return strictly(model, spec, unknown="ignore")
    except ValidationError as error:
        raise UnreadableObjectError(first_mistake(error, "spec")) from error


def words(mistake: Mapping[str, Any]) -> str:
    """What pydantic says of a mistake; of our own advice the advice alone."""
    return str(mistake["msg"]).removeprefix("Value error, ")


def first_mistake(error: ValidationError, *above: str) -> str:
    """The first field that is wrong and why; `above` are the names of what the field is in."""
    first = error.errors()[0]
    return f"{'.'.join((*above, *map(str, first['loc'])))}: {words(first)}"
