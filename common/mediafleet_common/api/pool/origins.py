"""Where a pool's streams come from: how nodes and advertisers tell it a reporter."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mediafleet_common.api.base import Form, Model
from mediafleet_common.api.pool.advertise import Network
from mediafleet_common.api.shared import SecretKey


class OriginRedis(Model):
    """A Redis without persistence, which holds names of the day and the key to them."""

    address: Annotated[
        str,
        Field(max_length=300),
        Form(
            "^(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$",
            "write host:port without a password, for example origins.media.svc:6379",
        ),
    ]
    """host:port."""
    tls: bool = False
    """Whether TLS is spoken, by a certificate that the system's authorities know."""
    db: Annotated[int, Field(ge=0, le=1024)] = 0
    """Number of the database."""
    password_secret: SecretKey | None = None
    """Password, of the default user."""

    @property
    def url(self) -> str:
        """As --origins-redis takes it."""
        return f"redis{'s' if self.tls else ''}://{self.address}/{self.db}"


class OriginSource(StrEnum):
    """What sees where a stream comes from."""

    DOOR = "door"
    """The drain proxy."""
    CLIENT_IP = "client-ip"
    """The node, which then puts addresses of gateways into your own Prometheus."""


class Origins(Model):
    """How who asks and who streams is told a reporter. Addresses are told nobody."""

    redis: OriginRedis
    """The same as CommunityMetrics names in originsRedis."""
    source: OriginSource = OriginSource.DOOR
    """door (the drain proxy, which must be there) or client-ip (-metricsClientIP of the node, \
which also puts addresses into your own Prometheus)."""
    own_networks: Annotated[list[Network], Field(max_length=64)] = Field(default_factory=list)
    """Public networks of yours, as of nodes to which a Service rewrites sources: an address there \
is an unknown origin."""
