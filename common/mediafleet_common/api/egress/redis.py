"""`spec.redis` of an EgressFleet: the Redis that livekit-server uses."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from mediafleet_common.api.base import Form, Model, Rule, rules
from mediafleet_common.api.shared import (
    SecretKey,
)
from mediafleet_common.formats.redis_address import address_problem

_PORT: Final = (
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)


# What can be printed in ASCII, without slash, colon and @; a bracket opens an IPv6 address.
_HOST: Final = "[!-.0-9;-?A-Z^-~][!-.0-9;-?A-~]*"


REDIS_ADDRESS_PATTERN: Final = rf"^(\[[0-9a-fA-F:.]+\]|{_HOST})(:{_PORT})?$"


_IN_CEL: Final = REDIS_ADDRESS_PATTERN.replace("\\", "\\\\")


_IS_IPV6: Final = "!self.startsWith('[') || isIP(self.substring(1, self.indexOf(']')))"


def _checked_address(address: str) -> str:
    problem = address_problem(address, "redis.tls")
    if problem is None and not re.fullmatch(REDIS_ADDRESS_PATTERN, address):
        problem = "write host:port"
    if problem is not None:
        raise ValueError(problem)
    return address


RedisAddress = Annotated[
    str,
    AfterValidator(_checked_address),
    Field(
        max_length=300,
        json_schema_extra=rules(
            (
                f"self.matches('{_IN_CEL}') && ({_IS_IPV6})",
                (
                    "write host:port, without rediss:// (redis.tls: true says that) and without a "
                    "password, and an IPv6 address in brackets: [2001:db8::1]:6379"
                ),
            )
        ),
    ),
]
"""host:port of a Redis."""


RedisName = Annotated[
    str,
    Field(max_length=63),
    Form(
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "write the name of a declared Redis: lower-case letters, digits and -, for example main",
    ),
]
"""Name of a declared Redis."""


class RedisSentinel(Model):
    """Redis found through sentinels."""

    master_name: str
    """Name of the master."""
    addresses: Annotated[list[RedisAddress], Field(min_length=1, max_length=32)]
    """host:port of each sentinel."""
    username: str | None = None
    """ACL user of the sentinels themselves."""
    password_secret: SecretKey | None = None
    """Where the sentinels' own password lies, for the pods."""


class RedisCluster(Model):
    """A Redis cluster."""

    addresses: Annotated[list[RedisAddress], Field(min_length=1, max_length=256)]
    """host:port of some nodes."""


_NO_PASSWORD: Final = "a password stands in a Secret: put it there and name it in passwordSecret"


def _refused_password(value: object) -> object:
    if value is not None:
        raise ValueError(_NO_PASSWORD)
    return value


_REDIS_RULES: Final = (
    Rule(
        (
            "[has(self.ref), has(self.address), has(self.sentinel), has(self.cluster)]"
            ".filter(x, x).size() <= 1"
        ),
        ("redis takes one of ref, address, sentinel and cluster, not several"),
        lambda self: (
            sum(x is not None for x in (self.ref, self.address, self.sentinel, self.cluster)) <= 1
        ),
    ),
    Rule(
        (
            "has(self.address) || has(self.sentinel) || has(self.cluster) || "
            "!(has(self.username) || (has(self.db) && self.db != 0) || "
            "(has(self.tls) && self.tls))"
        ),
        (
            "username, db and tls of a declared Redis stand in chart value "
            "egress.redis[]: leave them out, or write an address, sentinel or cluster"
        ),
        lambda self: self.is_written_out or not (self.username is not None or self.db or self.tls),
    ),
    Rule(
        ("!has(self.password)"),
        (_NO_PASSWORD),
        lambda self: self.password is None,
    ),
)
"""Of `spec.redis` as it was written: with a name, the operator adds what is declared."""


class RedisSpec(Model):
    """The Redis that livekit-server uses: one that the administrator declares, by its name, or \
written out here. Absent: the declared one that is the default."""

    model_config = ConfigDict(
        json_schema_extra=rules(*((each.cel, each.message) for each in _REDIS_RULES))
    )

    ref: RedisName | None = None
    """Name of a Redis that chart value egress.redis[] declares for this namespace."""
    address: RedisAddress | None = None
    """host:port. Written out here, the desk has no password for it, and it is dialled only where \
chart value egress.allowUndeclaredRedis says so; so are sentinel and cluster."""
    username: str | None = None
    """ACL user."""
    password: Annotated[str | None, BeforeValidator(_refused_password)] = None
    """Refused: a password stands in a Secret, which passwordSecret names."""
    password_secret: SecretKey | None = None
    """Where the password lies, for the pods; the desk has its own by chart value egress.redis[]."""
    ca_secret: SecretKey | None = None
    """Where the certificate of an authority of your own lies, for the pods."""
    db: Annotated[int, Field(ge=0, le=1024)] = 0
    """Number of the database."""
    tls: bool = False
    """Whether to speak TLS, also to sentinels."""
    sentinel: RedisSentinel | None = None
    """Found through sentinels instead of by address."""
    cluster: RedisCluster | None = None
    """A cluster instead of an address."""

    def same_server(self, other: RedisSpec) -> bool:
        """Whether both name the same server, by the name it is declared under, else as far as
        their fields say; pub/sub knows no databases."""
        if self.ref is not None and other.ref is not None:
            return self.ref == other.ref
        return self._where() == other._where()

    @property
    def is_written_out(self) -> bool:
        """Whether it says itself where the server is."""
        found = self.address or self.sentinel or self.cluster
        return self.ref is None and found is not None

    def _where(self) -> tuple[object, ...]:
        sentinel = self.sentinel
        of_sentinel = (sentinel.master_name, *sorted(sentinel.addresses)) if sentinel else ()
        of_cluster = tuple(sorted(self.cluster.addresses)) if self.cluster else ()
        return (self.address, of_sentinel, of_cluster)
