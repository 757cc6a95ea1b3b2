"""What the operator makes for a pool's advertiser: Secrets and volumes by reference only."""

from __future__ import annotations

import json
from typing import Any

from mediafleet_common.api.names import Kind
from mediafleet_common.api.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_operator.core.model import FleetKey
from mediafleet_operator.manifests.advertiser import manifests
from mediafleet_operator.manifests.pods import Product
from mediafleet_operator.manifests.resource import Resource


def pod_of(**advertise: Any) -> dict[str, Any]:
    spec = OrchestratorPoolSpec.model_validate({"advertise": advertise})
    key = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch")
    made = manifests(Resource(key, "uid-1", "7", 1, False, spec, None), Product("ours:1", "Never"))
    deployment = next(each for each in made if each["kind"] == "Deployment")
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def volumes(pod: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in pod["volumes"]}


def mounts(pod: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    each = pod["containers"][0]["volumeMounts"]
    return {one["name"]: (one["mountPath"], one.get("readOnly", False)) for one in each}


def test_a_pool_that_says_nothing_mounts_nothing() -> None:
    assert list(volumes(pod_of())) == ["tmp"]


def test_keys_and_databases_are_mounted_read_only_and_named_to_the_advertiser() -> None:
    pod = pod_of(
        tlsSecret="orch-tls",
        probeKeySecret={"name": "probe", "key": "hex"},
        regionDatabase={"claim": "geo", "file": "v1/countries.mmdb"},
    )
    args = " ".join(pod["containers"][0]["args"])
    assert "--tls-cert /mediafleet/tls/tls.crt --tls-key /mediafleet/tls/tls.key" in args
    assert "--probe-key /mediafleet/probe-key/key" in args
    assert "--region-database /mediafleet/regions/v1/countries.mmdb" in args
    assert mounts(pod) == {
        "tmp": ("/tmp", False),
        "tls": ("/mediafleet/tls", True),
        "probe-key": ("/mediafleet/probe-key", True),
        "regions": ("/mediafleet/regions", True),
    }
    assert volumes(pod)["regions"]["persistentVolumeClaim"] == {
        "claimName": "geo",
        "readOnly": True,
    }
    assert json.dumps(pod).count("hex") == 1


def test_a_sources_token_and_authority_are_files_where_the_advertiser_looks() -> None:
    url = "https://pool.example.com/orchestrators"
    pod = pod_of(
        sources=[
            {"name": "plain", "listUrl": "http://here/orchestrators"},
            {
                "name": "eu",
                "listUrl": url,
                "tokenSecret": {"name": "eu", "key": "token"},
                "caSecret": {"name": "eu-ca", "key": "ca.crt"},
            },
        ]
    )
    assert mounts(pod)["source-eu"] == ("/mediafleet/sources/eu", True)
    assert "source-plain" not in mounts(pod)
    assert volumes(pod)["source-eu"]["projected"]["sources"] == [
        {"secret": {"name": "eu", "items": [{"key": "token", "path": "token"}]}},
        {"secret": {"name": "eu-ca", "items": [{"key": "ca.crt", "path": "ca"}]}},
    ]
