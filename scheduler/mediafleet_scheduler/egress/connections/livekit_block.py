"""LiveKit's own block `redis`, as livekit-server and egress take it in their configs.

Secrets stay in the file: the password is read again at each connection, so that a changed one is
taken up. Source: livekit/protocol redis/redis.go, xtls/tls.go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from mediafleet_common.api.egress_fleet import RedisCluster, RedisSentinel, RedisSpec
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.egress.connections.opening import Access, Password, Tls, no_password

_OPTION: Final = "--redis-config"

Addresses = Annotated[list[str], Field(max_length=256)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _TlsBlock(_Part):
    enabled: bool = False
    insecure: bool = False
    server_name: str = ""
    ca_cert_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None


class _Block(_Part):
    address: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    db: int = 0
    use_tls: bool = False
    tls: _TlsBlock = _TlsBlock()
    sentinel_master_name: str = ""
    sentinel_username: str = ""
    sentinel_password: SecretStr = SecretStr("")
    sentinel_addresses: Addresses = Field(default_factory=list)
    cluster_addresses: Addresses = Field(default_factory=list)
    max_redirects: int | None = None
    # Of the Go client alone: ours has its own.
    dial_timeout: int = 0
    read_timeout: int = 0
    write_timeout: int = 0
    pool_timeout: Any = None
    pool_size: int = 0


def read_block(file: Path) -> tuple[RedisSpec, Access]:
    """The Redis that a file tells of: the block itself, or a config that has it under `redis`.

    Raises:
        CannotStartError: the file does not say it; the text names the field.
    """
    block = _read(file)
    if block.tls.server_name:
        raise CannotStartError(
            f"{_OPTION} {file}: tls.server_name is not supported: use an address that the "
            "certificate names"
        )
    tls = Tls(
        ca_file=block.tls.ca_cert_file,
        cert_file=block.tls.client_cert_file,
        key_file=block.tls.client_key_file,
        insecure=block.tls.insecure,
    )
    password, theirs = _secret(file, "password"), _secret(file, "sentinel_password")
    access = Access(
        password if block.password.get_secret_value() else no_password,
        theirs if block.sentinel_password.get_secret_value() else no_password,
        tls,
    )
    return _spec(file, block), access


def _spec(file: Path, block: _Block) -> RedisSpec:
    """Of several ways the one that LiveKit takes: sentinels, then a cluster, then the address."""
    common: dict[str, Any] = {
        "db": block.db,
        "username": block.username or None,
        "tls": block.use_tls or block.tls.enabled,
    }
    if block.sentinel_addresses:
        if not block.sentinel_master_name:
            raise CannotStartError(f"{_OPTION} {file}: sentinel_master_name is missing")
        sentinel = RedisSentinel(
            master_name=block.sentinel_master_name,
            addresses=block.sentinel_addresses,
            username=block.sentinel_username or None,
        )
        return RedisSpec(sentinel=sentinel, **common)
    if block.cluster_addresses:
        return RedisSpec(cluster=RedisCluster(addresses=block.cluster_addresses), **common)
    if block.address:
        return RedisSpec(address=block.address, **common)
    raise CannotStartError(
        f"{_OPTION} {file}: write address, sentinel_addresses or cluster_addresses"
    )


def _secret(file: Path, key: str) -> Password:
    def told() -> str:
        try:
            secret: SecretStr = getattr(_read(file), key)
        except CannotStartError as error:
            # As a file that cannot be read: it is being written, or will be put right.
            raise OSError(str(error)) from None
        return secret.get_secret_value()

    return told


def _read(file: Path) -> _Block:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStartError(f"{_OPTION} {file}: {error}") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        # The text itself holds secrets and is not repeated.
        raise CannotStartError(f"{_OPTION} {file}: it is not YAML{line}") from None
    if isinstance(data, dict) and isinstance(data.get("redis"), dict):
        data = data["redis"]
    if not isinstance(data, dict):
        raise CannotStartError(f"{_OPTION} {file}: it is no block of key: value lines")
    try:
        return _Block.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CannotStartError(f"{_OPTION} {file}: {field}: {first['msg']}") from None
