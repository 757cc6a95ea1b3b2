"""The CRDs that the models make: what kubectl, autoscalers and people rely on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediafleet_common.api import crds
from mediafleet_common.api.names import FLEET_KINDS, Kind
from mediafleet_testbed.paths import REPOSITORY

KINDS = list(crds.MODELS)


def version(kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = crds.crd(kind)["spec"]["versions"][0]
    return found


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}", part
        yield from properties(part, f"{path}.{name}")
    if "items" in schema:
        yield from properties(schema["items"], f"{path}[]")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_description_for_kubectl_explain(kind: Kind) -> None:
    schema = version(kind)["schema"]["openAPIV3Schema"]
    given_by_kubernetes = {".apiVersion", ".kind", ".metadata"}
    silent = [
        path
        for path, part in properties(schema)
        if not part.get("description") and path not in given_by_kubernetes
    ]
    assert silent == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_refusal_quotes_a_regular_expression(kind: Kind) -> None:
    schema = version(kind)["schema"]["openAPIV3Schema"]
    # Values of a map have no bound in number, which a rule would need.
    assert [path for path, part in properties(schema) if "pattern" in part.get("items", part)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_resource_is_of_its_kind_without_saying_so(kind: Kind) -> None:
    assert crds.MODELS[kind].model_fields["kind"].default == kind.value


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_structural(kind: Kind) -> None:
    text = yaml.safe_dump(version(kind)["schema"])
    for word in ("$ref", "anyOf", "oneOf", "const", "title:", "$defs", "null"):
        assert word not in text, word
    for path, part in properties(version(kind)["schema"]["openAPIV3Schema"]):
        assert "type" in part, path
        assert not ("properties" in part and "additionalProperties" in part), path


@pytest.mark.parametrize("kind", FLEET_KINDS)
def test_autoscalers_find_the_scale_subresource_with_its_selector(kind: Kind) -> None:
    assert version(kind)["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    spec = version(kind)["schema"]["openAPIV3Schema"]["properties"]["spec"]
    # A default would fight whoever scales: applying the manifest again would reset the count.
    assert "default" not in spec["properties"]["replicas"]


@pytest.mark.parametrize("kind", KINDS)
def test_printer_columns_end_with_age_and_name_existing_fields(kind: Kind) -> None:
    columns = version(kind)["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    assert shown[-1] == "Age"
    paths = dict(properties(version(kind)["schema"]["openAPIV3Schema"]))
    for column in columns:
        path = column["jsonPath"].split("[?")[0]
        assert path in paths or path.startswith(".metadata"), path


@pytest.mark.parametrize("kind", KINDS)
def test_a_crd_is_small_enough_for_client_side_apply(kind: Kind) -> None:
    # kubectl keeps the whole object in an annotation of at most 262,144 bytes.
    assert len(yaml.safe_dump(crds.crd(kind))) < 100_000


def test_exclusive_bounds_become_what_openapi_3_0_knows() -> None:
    assert crds.structural({"type": "number", "exclusiveMinimum": 0}) == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
    }


def test_a_union_that_no_structural_schema_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="anyOf"):
        crds.structural({"anyOf": [{"type": "string"}, {"type": "integer"}]})


def test_the_same_files_are_written_into_each_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "crds", tmp_path / "chart" / "templates"]
    crds.main([str(folder) for folder in folders])
    for folder in folders:
        assert {file.name: file.read_text() for file in folder.iterdir()} == crds.render()


def test_the_crds_in_the_repository_are_what_the_models_say() -> None:
    written = (REPOSITORY / "crds").iterdir()
    assert {file.name: file.read_text() for file in written} == crds.render()


@pytest.mark.parametrize("folder", ["crds", "charts/mediafleet-crds/templates"])
def test_what_is_installed_is_what_the_models_say(folder: str) -> None:
    committed = {path.name: path.read_text() for path in (REPOSITORY / folder).glob("*.yaml")}
    assert crds.render() == committed
