"""Redis endpoints, declared by the administrator, and which of them a fleet may use. Pure.

A fleet names an endpoint (`spec.redis.ref`), or none and gets the default one, or writes out an
address, which gets no credential of the administrator's and needs leave of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, model_validator

from mediafleet_common.api.base import Model
from mediafleet_common.api.egress.redis import (
    RedisAddress,
    RedisCluster,
    RedisName,
    RedisSentinel,
    RedisSpec,
)
from mediafleet_common.redises.hosts import RedisHosts, address, redis_hosts, written

EVERYWHERE: Final = "*"
"""In `namespaces`: any."""


class RedisEndpoint(Model):
    """One Redis, without its secrets."""

    name: RedisName
    """What fleets name it by."""
    addresses: Annotated[list[RedisAddress], Field(max_length=32)] = Field(default_factory=list)
    """host:port of one server; the first is dialled, the others are names of the same."""
    sentinel: RedisSentinel | None = None
    """Found through sentinels instead of by addresses."""
    cluster: RedisCluster | None = None
    """A cluster instead of addresses."""
    hosts: list[str] = Field(default_factory=list)
    """Who else may have the desk's passwords: host:port, .suffix of names, CIDR. Needed for \
masters and nodes as sentinels and clusters announce them."""
    tls: bool = False
    """Whether TLS is spoken."""
    username: str | None = None
    """ACL user, of desk and pods."""
    db: Annotated[int, Field(ge=0, le=1024)] = 0
    """Number of the database."""
    namespaces: list[str] = Field(default_factory=list)
    """Which may use it; * is any."""
    default: bool = False
    """Whether fleets that name no Redis use it."""

    @model_validator(mode="after")
    def _makes_sense(self) -> RedisEndpoint:
        if sum(map(bool, (self.addresses, self.sentinel, self.cluster))) != 1:
            raise ValueError("write one of addresses, sentinel and cluster")
        redis_hosts(self.hosts)
        return self

    def is_for(self, namespace: str) -> bool:
        """Whether fleets of a namespace may use it."""
        return namespace in self.namespaces or EVERYWHERE in self.namespaces

    def spec(self, of_fleet: RedisSpec) -> RedisSpec:
        """What a fleet means by naming it: where it is, and the fleet's own secrets."""
        return RedisSpec(
            ref=self.name,
            address=self.addresses[0] if self.addresses else None,
            sentinel=self.sentinel,
            cluster=self.cluster,
            tls=self.tls,
            username=self.username,
            db=self.db,
            password_secret=of_fleet.password_secret,
            ca_secret=of_fleet.ca_secret,
        )

    @property
    def may_have_passwords(self) -> RedisHosts:
        """Its own addresses, and those declared beside them."""
        return redis_hosts([*self._addresses, *self.hosts])

    @property
    def _addresses(self) -> list[str]:
        return self.addresses or written(self.spec(RedisSpec()))

    def is_at(self, others: list[str]) -> bool:
        """Whether one of some addresses is one of its own."""
        own = {address(each) for each in self._addresses}
        return any(address(each) in own for each in others)


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """A fleet may not use its Redis."""

    why: str
    """With the fix."""


@dataclass(frozen=True, slots=True)
class Redises:
    """All that is declared. The default declares nothing and forbids nothing."""

    endpoints: tuple[RedisEndpoint, ...] = ()
    allow_undeclared: bool = True
    """Whether an address that a fleet writes out is dialled."""

    def of(self, redis: RedisSpec, namespace: str) -> RedisSpec | NotAllowed:
        """The Redis that a fleet of a namespace uses."""
        if redis.is_written_out:
            return self._written_out(redis, namespace)
        usable = [each for each in self.endpoints if each.is_for(namespace)]
        wanted = redis.ref
        for each in usable:
            if each.name == wanted or (wanted is None and each.default):
                return each.spec(redis)
        subject = "no Redis is named, and none is the default"
        if wanted is not None:
            subject = f"spec.redis.ref: no Redis {wanted} is declared"
        return NotAllowed(f"{subject} for namespace {namespace}: {_fix(usable)}")

    def may_use(self, name: str, namespace: str) -> bool:
        """Whether fleets of a namespace may use the Redis of a name."""
        return any(each.name == name and each.is_for(namespace) for each in self.endpoints)

    def _written_out(self, redis: RedisSpec, namespace: str) -> RedisSpec | NotAllowed:
        usable = [each for each in self.endpoints if each.is_for(namespace)]
        if not self.allow_undeclared:
            return NotAllowed(
                "spec.redis writes out an address, which chart value egress.allowUndeclaredRedis "
                f"forbids: {_fix(usable)}"
            )
        at = [each for each in self.endpoints if each.is_at(written(redis))]
        if at and not any(each in usable for each in at):
            return NotAllowed(
                "the address in spec.redis is of a Redis that is declared for other namespaces: "
                f"{_fix(usable)}"
            )
        return redis


def _fix(usable: list[RedisEndpoint]) -> str:
    ask = "have it declared in chart value egress.redis[], with this namespace in namespaces"
    if not usable:
        return ask
    return f"set spec.redis.ref to {' or '.join(sorted(each.name for each in usable))}, or {ask}"


class RedisesFile(Model):
    """What the chart hands to operator and desk."""

    endpoints: Annotated[list[RedisEndpoint], Field(max_length=256)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_each(self) -> RedisesFile:
        names = [each.name for each in self.endpoints]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"declared twice: {', '.join(twice)}")
        defaults: dict[str, str] = {}
        for each in self.endpoints:
            for namespace in each.namespaces if each.default else ():
                other = defaults.setdefault(namespace, each.name)
                if other != each.name:
                    raise ValueError(f"{other} and {each.name} are both the default of {namespace}")
        return self
