"""What a fleet may say of its Redis: a wrong address is refused with the way to write it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from mediafleet_common.api.crds import crd
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.api.names import Kind
from mediafleet_common.formats.redis_address import address_problem


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


@pytest.mark.parametrize(
    "address",
    ["redis:65536", "redis:0", "redis:06379", "redis:", "redis:123456", "[::1]:65536", "[::1]6379"],
)
def test_a_port_is_a_number_from_1_to_65535(address: str) -> None:
    with pytest.raises(ValidationError, match="port"):
        RedisSpec.model_validate({"address": address})
    assert RedisSpec.model_validate({"address": "redis:65535"}).address == "redis:65535"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("redis://r:6379/", "write r:6379, without redis://$"),
        ("rediss://", "write host:port, without rediss://, and redis.tls: true$"),
        ("r/0", "without spaces or slashes$"),
        ("r\u00e9dis:6379", "without spaces or slashes$"),
        ("2409:8086:8520::11d:6379", r"brackets: \[2409:8086:8520::11d\]:6379$"),
        ("2409:8086:8520::11d:1234", r"brackets: \[2409:8086:8520::11d:1234\]:6379$"),
        ("a:b:c", r"brackets: \[address\]:port$"),
        ("::1%eth0", r"brackets: \[address\]:port$"),
        ("[::1", r"as \[address\]:port$"),
        ("[::ffff:10.0.0.1]:1", r"as \[address\]:port$"),
        (":0", "the port of localhost is none"),
    ],
)
def test_whoever_writes_another_address_is_told_the_right_one(address: str, words: str) -> None:
    assert re.search(words, address_problem(address, "redis.tls") or "")


A, B = {"address": "a:1"}, {"address": "b:1"}
OF_MASTER = {"sentinel": {"masterName": "m", "addresses": ["s1:1", "s2:1"]}}
OF_OTHER_MASTER = {"sentinel": {"masterName": "n", "addresses": ["s1:1", "s2:1"]}}
CLUSTER = {"cluster": {"addresses": ["c1:1", "c2:1"]}}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (A, {**A, "db": 3, "username": "u"}, True),
        (A, B, False),
        ({"ref": "x"}, {"ref": "x", **A}, True),
        ({"ref": "x", **A}, {"ref": "y", **A}, False),
        ({"ref": "x", **A}, A, True),
        (OF_MASTER, {"sentinel": {"masterName": "m", "addresses": ["s2:1", "s1:1"]}}, True),
        (OF_MASTER, OF_OTHER_MASTER, False),
        (CLUSTER, {"cluster": {"addresses": ["c2:1", "c1:1"]}}, True),
        (CLUSTER, {"cluster": {"addresses": ["c1:1"]}}, False),
    ],
)
def test_two_fleets_are_on_one_server_whatever_order_and_database_they_name(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    first, second = RedisSpec.model_validate(one), RedisSpec.model_validate(other)
    assert first.same_server(second) is same
    assert second.same_server(first) is same


@pytest.mark.parametrize(
    ("redis", "written_out"),
    [(A, True), (OF_MASTER, True), (CLUSTER, True), ({}, False), ({"ref": "x", **A}, False)],
)
def test_a_redis_that_is_declared_is_not_written_out(
    redis: dict[str, Any], written_out: bool
) -> None:
    assert RedisSpec.model_validate(redis).is_written_out is written_out


@pytest.mark.parametrize("field", [{"username": "u"}, {"db": 1}, {"tls": True}])
def test_a_declared_redis_is_said_by_its_name_alone(field: dict[str, Any]) -> None:
    for redis in ({}, {"ref": "x"}):
        with pytest.raises(ValidationError, match="of a declared Redis"):
            EgressFleetSpec.model_validate({"redis": {**redis, **field}})
    assert EgressFleetSpec.model_validate({"redis": {**A, **field}}).redis.address == "a:1"


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
