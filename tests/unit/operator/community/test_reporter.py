"""What the operator makes for a CommunityMetrics: a reporter that sends what is agreed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.kit.community import sent

from mediafleet_common.api.community import FURTHER, Community, Share
from mediafleet_operator.manifests.children import reporter, senders
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.rounds.community.round import sharing_of

PRODUCT = Product("ours:1", vmagent_image="vmagent:1", prometheus_image="prometheus:1")
RECIPIENTS: list[dict[str, Any]] = [
    {"name": "one", "url": "https://one.example/api/v1/write", "operator": "me"},
    {
        "name": "two",
        "url": "https://two.example/api/v1/write",
        "operator": "us",
        "tokenSecret": {"name": "two", "key": "token"},
    },
]
SERIES = {"__name__": "mediafleet_community_own_streams", "region": "eu", "figure": "now"}


def made(product: Product = PRODUCT, **spec: Any) -> dict[str, dict[str, Any]]:
    """What is made, by kind."""
    meta = {"name": "share", "namespace": "media", "uid": "u1", "resourceVersion": "1"}
    raw = {"metadata": meta, "spec": {"pool": "transcoders", "region": "eu-west", **spec}}
    return {each["kind"]: each for each in reporter.manifests(sharing_of(raw), product)}


def containers(made: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    listed = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each for each in listed}


def test_every_child_is_the_resources_and_goes_with_it() -> None:
    for each in made(volume={}).values():
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("CommunityMetrics", "u1")
        assert owner["controller"]


def test_without_recipients_nothing_sends() -> None:
    assert list(containers(made())) == ["reporter"]
    assert list(made()["ConfigMap"]["data"]) == ["community.yaml"]


@pytest.mark.parametrize("sender", ["vmagent", "prometheus"])
def test_who_has_left_sends_nothing_any_more(sender: str) -> None:
    left = made(sender=sender, recipients=RECIPIENTS, leave={})
    assert list(containers(left)) == ["reporter"]
    assert Community(**yaml.safe_load(left["ConfigMap"]["data"]["community.yaml"])).leave


@pytest.mark.parametrize("sender", ["vmagent", "prometheus"])
def test_the_sender_runs_without_root_and_opens_no_port_to_others(sender: str) -> None:
    pod = made(sender=sender, recipients=RECIPIENTS)
    found = containers(pod)["sender"]
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    spec = pod["Deployment"]["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert "ports" not in found
    (listen,) = [each for each in found["args"] if "isten" in each]
    assert listen.partition("=")[2] == "127.0.0.1:8429"


@pytest.mark.parametrize("sender", ["vmagent", "prometheus"])
def test_each_recipient_gets_the_agreed_series_under_the_name_it_knows(sender: str) -> None:
    data = made(sender=sender, recipients=RECIPIENTS)["ConfigMap"]["data"]
    scraped = {**SERIES, "instance": "127.0.0.1:8080", "job": "community"}
    for each in RECIPIENTS:
        rules = rules_for(data, sender, str(each["name"]))
        assert sent(scraped, rules) == {**SERIES, "operator": each["operator"]}
        assert sent({**scraped, "__name__": "up"}, rules) is None
        work = {"__name__": "mediafleet_community_work", "kind": "aiByModel", "cell": "flite"}
        assert sent({**work, "instance": "127.0.0.1:8080"}, rules) == {
            **work,
            "operator": each["operator"],
        }


def rules_for(data: dict[str, str], sender: str, name: str) -> list[dict[str, Any]]:
    if sender == "vmagent":
        rules: list[dict[str, Any]] = yaml.safe_load(data[f"relabel-{name}.yaml"])
        return rules
    writes = yaml.safe_load(data["prometheus.yaml"])["remote_write"]
    return next(each["write_relabel_configs"] for each in writes if each["name"] == name)


def test_a_token_is_one_key_of_a_secret_and_goes_to_its_recipient_alone() -> None:
    pod = made(recipients=RECIPIENTS)
    args = containers(pod)["sender"]["args"]
    assert [each.partition("=")[2] for each in args if "bearerTokenFile" in each] == [
        "",
        "/mediafleet/recipients/two/token",
    ]
    data = made(sender="prometheus", recipients=RECIPIENTS)["ConfigMap"]["data"]
    writes = yaml.safe_load(data["prometheus.yaml"])["remote_write"]
    assert ["authorization" in each for each in writes] == [False, True]
    volumes = pod["Deployment"]["spec"]["template"]["spec"]["volumes"]
    (secret,) = [each["secret"] for each in volumes if "secret" in each]
    assert secret == {"secretName": "two", "items": [{"key": "token", "path": "token"}]}


def test_another_file_is_another_pod() -> None:
    def digest(**spec: Any) -> str:
        template = made(**spec)["Deployment"]["spec"]["template"]
        return str(template["metadata"]["annotations"])

    assert digest() == digest()
    assert len({digest(), digest(k=5), digest(recipients=RECIPIENTS), digest(leave={})}) == 4


def test_what_is_kept_is_on_a_claim_where_one_is_asked_for() -> None:
    assert "PersistentVolumeClaim" not in made()
    claim = made(volume={"size": "2Gi", "storageClass": "fast"})["PersistentVolumeClaim"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"] == {"requests": {"storage": "2Gi"}}


@pytest.mark.parametrize("name", FURTHER)
def test_each_further_group_is_chosen_by_its_name_in_resource_and_file(name: str) -> None:
    chosen, default = (
        Community(**yaml.safe_load(each["ConfigMap"]["data"]["community.yaml"]))
        for each in (made(share={name: True}), made())
    )
    assert chosen.share.further == [name]
    assert default.share == Share()


def test_without_an_image_there_is_no_sender() -> None:
    assert list(containers(made(Product("ours:1"), recipients=RECIPIENTS))) == ["reporter"]
    assert senders.image(sharing_of(RAW).spec, PRODUCT) == "vmagent:1"


RAW: dict[str, Any] = {
    "metadata": {"name": "share", "namespace": "media", "uid": "u1", "resourceVersion": "1"},
    "spec": {"pool": "transcoders", "region": "eu-west"},
}
