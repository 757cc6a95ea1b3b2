"""What the operator makes for a pool's advertiser: Secrets and volumes by reference only."""

from __future__ import annotations

import json
from typing import Any, Final

from mediafleet_common.api.names import Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.children.advertiser import manifests
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.manifests.resource import Resource

OURS: Final = Product("ours:1", "Never")


def pod_of(product: Product = OURS, **advertise: Any) -> dict[str, Any]:
    spec = OrchestratorPoolSpec.model_validate({"advertise": advertise})
    key = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch")
    made = manifests(Resource(key, "uid-1", "7", 1, False, spec, None), product)
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


def of_keda(secret: str | None) -> dict[str, dict[str, Any]]:
    """The objects of a pool that KEDA scales, by kind."""
    autoscaling = {"engine": "keda", "min": 1, "max": 3}
    spec = OrchestratorPoolSpec.model_validate({"autoscaling": autoscaling})
    key = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch")
    product = Product("ours:1", "Never", secret)
    made = manifests(Resource(key, "uid-1", "7", 1, False, spec, None), product)
    return {each["kind"]: each for each in made}


def test_a_pool_that_keda_scales_answers_it_by_mutual_tls() -> None:
    made = of_keda("scaler-pair")
    pod = made["Deployment"]["spec"]["template"]["spec"]
    args = " ".join(pod["containers"][0]["args"])
    assert "--scaler 0.0.0.0:9090 --scaler-cert /mediafleet/scaler/tls.crt" in args
    assert "--scaler-client-ca /mediafleet/scaler/ca.crt" in args
    assert "--scaler-plaintext" not in args
    assert volumes(pod)["scaler"] == {"name": "scaler", "secret": {"secretName": "scaler-pair"}}
    assert mounts(pod)["scaler"] == ("/mediafleet/scaler", True)
    ports = {each["name"]: each["port"] for each in made["Service"]["spec"]["ports"]}
    assert ports == {"orchestrator": 8935, "http": 8080, "scaler": 9090}


def test_without_a_certificate_keda_is_answered_in_plaintext() -> None:
    args = of_keda(None)["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[-3:] == ["--scaler", "0.0.0.0:9090", "--scaler-plaintext"]


def test_a_pool_that_keda_does_not_scale_has_no_scaler() -> None:
    assert "--scaler" not in pod_of()["containers"][0]["args"]


def test_a_pool_that_names_a_reporter_shows_what_that_shares_and_no_other_does() -> None:
    spec = OrchestratorPoolSpec.model_validate({"communityMetrics": "share"})
    key = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch")
    made = manifests(Resource(key, "uid-1", "7", 1, False, spec, None), OURS)
    [deployment] = [each for each in made if each["kind"] == "Deployment"]
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    url = args[args.index("--community-from") + 1]
    assert url == "http://share-reporter.media.svc:8080"
    assert "--community-from" not in pod_of()["containers"][0]["args"]


def test_an_advertiser_requests_the_cpu_that_the_administrator_says() -> None:
    requests = pod_of()["containers"][0]["resources"]["requests"]
    assert requests["cpu"] == "100m"
    product = Product("ours:1", "Never", advertiser_cpu="250m")
    requests = pod_of(product)["containers"][0]["resources"]["requests"]
    assert requests["cpu"] == "250m"
