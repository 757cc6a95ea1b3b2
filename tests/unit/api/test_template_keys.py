"""No template sets a key of ours: schema and models say so alike, wherever there is a template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from pydantic import ValidationError

from mediafleet_common.api.crds import crd
from mediafleet_common.api.names import FLEET_KINDS, GROUP, SERVING_GATE, Annotation, Kind, Label
from mediafleet_common.api.shared import Template

OURS: Final = sorted(
    {key.value for key in (*Label, *Annotation) if key.startswith(GROUP)} | {SERVING_GATE}
)
FIELDS: Final = ("labels", "annotations")
RULE: Final = f"self.all(key, !key.startsWith('{GROUP}/'))"


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("key", [*OURS, f"{GROUP}/that-comes-later"])
def test_a_template_that_sets_a_key_of_ours_is_refused_by_its_name(field: str, key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Template.model_validate({"metadata": {field: {"team": "a", key: "x"}}})


def test_other_keys_are_the_users() -> None:
    mine = {"team": "a", f"{GROUP}.example.org/x": "b"}
    assert Template.model_validate({"metadata": {"labels": mine}}).metadata["labels"] == mine


@pytest.mark.parametrize("kind", FLEET_KINDS)
def test_the_schema_refuses_what_the_models_refuse(kind: Kind) -> None:
    maps = [each[field] for each in metadata_of_templates(crd(kind)) for field in FIELDS]
    assert maps
    for each in maps:
        assert [rule["rule"] for rule in each["x-kubernetes-validations"]] == [RULE]
        # Without a bound the API server reckons the rule too dear.
        assert each["maxProperties"] == 64


def metadata_of_templates(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "template" in part and "metadata" in part["template"].get("properties", {}):
            yield part["template"]["properties"]["metadata"]["properties"]
        for each in part.values():
            yield from metadata_of_templates(each)
    elif isinstance(part, list):
        for each in part:
            yield from metadata_of_templates(each)
