"""What tells a reporter where demand comes from: options and volumes of agent and advertiser."""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.pool.advertise import RegionDatabase
from mediafleet_common.api.pool.origins import OriginRedis, Origins, OriginSource
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.parts import mount

REGIONS: Final = "/mediafleet/regions"
_PASSWORD: Final = "/mediafleet/origins"
_VOLUME: Final = "mediafleet-origins"
_REGIONS_VOLUME: Final = "mediafleet-regions"
NODE_FLAGS: Final = ("-metricsClientIP=true", "-metricsPerStream=true")
"""Of go-livepeer: which client a metric is of, and which stream."""


def redis_options(redis: OriginRedis, pool: str) -> list[str]:
    """Arguments of everybody who uses the Redis; `pool` is NAMESPACE/NAME."""
    options = ["--origins-redis", redis.url, "--origins-pool", pool]
    if redis.password_secret is not None:
        options += ["--origins-redis-password-file", f"{_PASSWORD}/password"]
    return options


def password_volumes(redis: OriginRedis) -> list[Manifest]:
    """The pod's volume with the password, where there is one."""
    secret = redis.password_secret
    if secret is None:
        return []
    items = [{"key": secret.key, "path": "password", "mode": 0o440}]
    return [{"name": _VOLUME, "secret": {"secretName": secret.name, "items": items}}]


def password_mounts(redis: OriginRedis) -> list[Manifest]:
    """Where a container sees it."""
    return [] if redis.password_secret is None else [mount(_VOLUME, _PASSWORD, read_only=True)]


def teller_options(origins: Origins, pool: str) -> list[str]:
    """Arguments of who sees gateways."""
    own = [part for each in origins.own_networks for part in ("--own-network", each)]
    return [*redis_options(origins.redis, pool), *own]


def agent_options(origins: Origins, pool: str, database: RegionDatabase | None) -> list[str]:
    """Arguments of a node's agent."""
    options = [*teller_options(origins, pool), "--origins-from", origins.source.value]
    if database is not None:
        options += ["--region-database", f"{REGIONS}/{database.file}"]
    return options


def agent_mounts(origins: Origins, database: RegionDatabase | None) -> list[Manifest]:
    """What a node's agent sees."""
    regions = [] if database is None else [mount(_REGIONS_VOLUME, REGIONS, read_only=True)]
    return [*password_mounts(origins.redis), *regions]


def node_volumes(origins: Origins, database: RegionDatabase | None) -> list[Manifest]:
    """Volumes of a node's pod."""
    volumes = password_volumes(origins.redis)
    if database is not None:
        claim = {"claimName": database.claim, "readOnly": True}
        volumes.append({"name": _REGIONS_VOLUME, "persistentVolumeClaim": claim})
    return volumes


def node_flags(origins: Origins | None) -> list[str]:
    """Flags of go-livepeer."""
    by_node = origins is not None and origins.source is OriginSource.CLIENT_IP
    return list(NODE_FLAGS) if by_node else []
