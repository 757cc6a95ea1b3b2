"""What a fleet may say of its Redis: a wrong address is refused with the way to write it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mediafleet_common.api.crds import crd
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import Kind


@pytest.mark.parametrize(
    ("redis", "words"),
    [
        ({"address": "rediss://r.example.com:6379"}, "r.example.com:6379, without rediss://, and"),
        ({"address": "2409:8086:8520::11d:18005"}, r"brackets: \[2409:8086:8520::11d\]:18005"),
        ({"cluster": {"addresses": ["a:1", "::1"]}}, r"brackets: \[::1\]:6379"),
        ({"sentinel": {"masterName": "m", "addresses": ["a b"]}}, "without spaces"),
        ({"address": "u:canary@r:6379"}, "user and password have fields of their own"),
        ({"address": "redis:6379", "password": "canary"}, "name it in passwordSecret"),
    ],
)
def test_a_wrong_redis_is_refused_with_the_fix_and_without_a_secret(
    redis: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words) as told:
        RedisSpec.model_validate(redis)
    assert "canary" not in str(told.value)


@pytest.mark.parametrize("address", ["redis:6379", "redis", "[::1]:6379", "10.0.0.1:1"])
def test_an_address_that_can_be_dialled_is_taken(address: str) -> None:
    assert RedisSpec.model_validate({"address": address}).address == address


def test_the_schema_refuses_them_too_and_says_how_to_write_it() -> None:
    (version,) = crd(Kind.EGRESS_FLEET)["spec"]["versions"]
    redis = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["redis"]
    rules = [rule["rule"] for rule in redis["x-kubernetes-validations"]]
    assert "!has(self.password)" in rules
    of_lists = [
        redis["properties"][each]["properties"]["addresses"]["items"]
        for each in ("sentinel", "cluster")
    ]
    for address in [redis["properties"]["address"], *of_lists]:
        (rule,) = address["x-kubernetes-validations"]
        assert "in brackets" in rule["message"]


def spec(*containers: Any) -> EgressFleetSpec:
    return EgressFleetSpec.model_validate(
        {"redis": {"address": "r:1"}, "template": {"spec": {"containers": list(containers)}}}
    )


def test_one_container_of_another_name_means_ours() -> None:
    limits = {"resources": {"limits": {"cpu": 4}}}
    (only,) = spec({"name": "livekit-egress", **limits}).template.spec["containers"]
    assert only == {"name": "egress", **limits}


@pytest.mark.parametrize(
    "containers",
    [
        [{"name": "shipper", "image": "x"}],
        [{"name": "egress"}, {"name": "shipper"}],
        ["x"],
        [{"name": 3}],
        [{}],
    ],
)
def test_other_containers_keep_their_names(containers: list[Any]) -> None:
    assert spec(*containers).template.spec["containers"] == containers
