"""Which Redis a fleet may use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.redises.endpoints import NotAllowed, Redises, RedisesFile
from mediafleet_common.redises.endpoints_file import read_endpoints
from mediafleet_common.serving.run import CannotStartError

MAIN = {
    "name": "main",
    "addresses": ["redis:6380", "redis.live.svc:6380"],
    "tls": True,
    "username": "mediafleet",
    "db": 2,
    "namespaces": ["live"],
    "default": True,
}
SHARED = {"name": "shared", "cluster": {"addresses": ["a:1", "b:1"]}, "namespaces": ["*"]}


def redises(*endpoints: dict[str, Any], allow_undeclared: bool = True) -> Redises:
    file = RedisesFile.model_validate({"endpoints": endpoints or (MAIN, SHARED)})
    return Redises(tuple(file.endpoints), allow_undeclared)


def spec(**fields: object) -> RedisSpec:
    return RedisSpec.model_validate(fields)


def test_a_name_brings_where_it_is_and_leaves_the_fleets_own_secrets() -> None:
    password, ca = {"name": "p", "key": "k"}, {"name": "c", "key": "k"}
    used = redises().of(spec(ref="main", passwordSecret=password, caSecret=ca), "live")
    assert used == spec(
        ref="main",
        address="redis:6380",
        tls=True,
        username="mediafleet",
        db=2,
        passwordSecret=password,
        caSecret=ca,
    )


def test_without_a_name_it_is_the_default_of_the_namespace() -> None:
    used = redises().of(spec(), "live")
    assert isinstance(used, RedisSpec)
    assert used.ref == "main"
    assert isinstance(redises().of(spec(), "evil"), NotAllowed)


def refused(redis: RedisSpec, namespace: str, *, allow_undeclared: bool = True) -> str:
    used = redises(allow_undeclared=allow_undeclared).of(redis, namespace)
    assert isinstance(used, NotAllowed)
    return used.why


def test_a_redis_of_other_namespaces_is_as_one_that_there_is_not() -> None:
    why = refused(spec(ref="main"), "evil")
    assert why == refused(spec(ref="none"), "evil").replace("none", "main")
    assert "set spec.redis.ref to shared, or have it declared in chart value egress.redis[]" in why


def test_an_address_written_out_needs_leave() -> None:
    written = spec(address="elsewhere:6379")
    assert redises().of(written, "evil") == written
    why = refused(written, "live", allow_undeclared=False)
    assert "egress.allowUndeclaredRedis" in why
    assert "set spec.redis.ref to main or shared" in why


@pytest.mark.parametrize(
    "address", ["redis:6380", "REDIS:6380", "redis.:6380", "redis.live.svc:6380"]
)
def test_an_address_written_out_does_not_evade_namespaces(address: str) -> None:
    assert "other namespaces" in refused(spec(address=address), "evil")
    assert isinstance(redises().of(spec(address=address), "live"), RedisSpec)


def test_nothing_declared_forbids_no_address() -> None:
    assert Redises().of(spec(address="redis"), "any") == spec(address="redis")
    assert isinstance(Redises().of(spec(), "any"), NotAllowed)


@pytest.mark.parametrize(
    ("endpoints", "words"),
    [
        ([MAIN, MAIN], "declared twice: main"),
        ([MAIN, {**MAIN, "name": "b"}], "main and b are both the default of live"),
        ([{"name": "x"}], "one of addresses, sentinel and cluster"),
        ([{**MAIN, "cluster": SHARED["cluster"]}], "one of addresses, sentinel and cluster"),
        ([{**MAIN, "hosts": ["a b/c"]}], "is no network"),
        ([{**MAIN, "password": "canary"}], "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(endpoints: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as told:
        redises(*endpoints)
    assert "canary" not in str(told.value)


def test_the_file_is_read_or_it_is_said_why_not(tmp_path: Path) -> None:
    file = tmp_path / "redis.yaml"
    file.write_text("endpoints: [{name: main, addresses: [redis], namespaces: [live]}]")
    assert [each.name for each in read_endpoints(file)] == ["main"]
    assert read_endpoints(None) == ()
    for content, words in (("[", "no YAML"), ("endpoints: [{name: main}]", r"endpoints\.0: .*one")):
        file.write_text(content)
        with pytest.raises(CannotStartError, match=words):
            read_endpoints(file)
    with pytest.raises(CannotStartError, match="No such file"):
        read_endpoints(tmp_path / "none")
