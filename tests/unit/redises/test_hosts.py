"""Which hosts may be told the password of a Redis."""

from __future__ import annotations

import pytest

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.redises.hosts import (
    BadHostError,
    redis_hosts,
    refusal,
)

DECLARED = redis_hosts(
    ["redis:6380", "plain", "[2001:db8::1]:6379", ".redis.svc", "10.1.0.0/16", "fd00::/64"]
)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("redis", 6380),
        ("REDIS.", 6380),
        ("plain", 6379),
        ("2001:db8:0::1", 6379),
        ("node-3.redis.svc", 7000),
        ("Node-3.Redis.Svc.", 7000),
        ("10.1.255.3", 1),
        ("fd00::9", 6379),
    ],
)
def test_a_declared_host_may_be_told(host: str, port: int) -> None:
    assert DECLARED.has(host, port)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("redis", 6379),
        ("plain", 26666),
        ("evil", 6380),
        ("redis.svc", 6379),
        ("evilredis.svc", 6379),
        ("redis.svc.evil.org", 6379),
        ("6.6.6.6 .redis.svc", 6379),
        ("evil/.redis.svc", 6379),
        ("evil\0.redis.svc", 6379),
        ("10.2.0.1", 6379),
        ("::ffff:10.1.0.1", 6379),
        ("", 6379),
    ],
)
def test_no_other_host_is_told_whatever_it_looks_like(host: str, port: int) -> None:
    assert not DECLARED.has(host, port)


def test_without_a_suffix_or_network_none_is_taken() -> None:
    hosts = redis_hosts(["redis"])
    assert not hosts.has("a.redis", 6379)
    assert not hosts.has("10.0.0.1", 6379)


@pytest.mark.parametrize("text", ["redis:x", ":6379", ".", ".a b", "10.0.0.1/8", "a/b"])
def test_a_declared_host_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadHostError):
        redis_hosts([text])


def spec(**fields: object) -> RedisSpec:
    return RedisSpec.model_validate(fields)


@pytest.mark.parametrize(
    "given",
    [
        spec(cluster={"addresses": ["127.0.0.1:26379", "127.0.0.1:26666"]}),
        spec(sentinel={"master_name": "m", "addresses": ["127.0.0.1:26379", "evil:26379"]}),
        spec(address="evil:26379"),
    ],
)
def test_a_host_beside_the_declared_one_decides_nothing(given: RedisSpec) -> None:
    told = refusal(given, redis_hosts(["127.0.0.1:26379"]), demands_tls=False)
    assert told is not None
    assert "egress.redis[].hosts" in told


def test_a_password_for_tls_is_not_sent_without() -> None:
    hosts = redis_hosts(["redis:6380"])
    given = spec(address="redis:6380")
    assert "spec.redis.tls" in (refusal(given, hosts, demands_tls=True) or "")
    assert refusal(given.model_copy(update={"tls": True}), hosts, demands_tls=True) is None
    assert refusal(given, hosts, demands_tls=False) is None
