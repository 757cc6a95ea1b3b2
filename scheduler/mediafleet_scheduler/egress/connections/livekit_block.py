"""LiveKit's own block `redis`, as livekit-server and egress take it in their configs.

Secrets stay in the file: the password is read again at each connection, so that a changed one is
taken up. Source: livekit/protocol redis/redis.go, xtls/tls.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from yaml.nodes import Node

from mediafleet_common.api.egress.redis import RedisCluster, RedisSentinel, RedisSpec
from mediafleet_common.formats import go_yaml
from mediafleet_common.formats.redis_address import address_problem
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.small_files import read_small_text
from mediafleet_scheduler.egress.connections.credentials import Password, no_password
from mediafleet_scheduler.egress.connections.opening import Access, Tls

_OPTION: Final = "--redis-config"
_MAX_DB: Final = 1024
_TLS_FIELD: Final = "tls.enabled"
_OF_THE_GO_CLIENT: Final = ("dial_timeout", "read_timeout", "write_timeout", "pool_size")
"""Numbers that are checked and not used: our client has its own."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Tls:
    enabled: bool
    insecure: bool
    server_name: str
    ca_cert_file: str
    client_cert_file: str
    client_key_file: str


@dataclass(frozen=True, slots=True)
class _Block:
    address: str
    username: str
    password: str = field(repr=False)
    db: int
    use_tls: bool
    tls: _Tls
    sentinel_master_name: str
    sentinel_username: str
    sentinel_password: str = field(repr=False)
    sentinel_addresses: list[str]
    cluster_addresses: list[str]


class _Reader:
    """Takes the fields of a mapping one by one, and gathers what is wrong with them."""

    def __init__(self, fields: Mapping[str, Node], problems: list[str], prefix: str = "") -> None:
        self._fields, self._problems, self._prefix = fields, problems, prefix
        self._known: set[str] = set()

    def take(self, key: str, read: Callable[[Node | None], T], otherwise: T) -> T:
        """The value of a key; `otherwise` where it is wrong."""
        self._known.add(key)
        try:
            return read(self._fields.get(key))
        except go_yaml.WrongKindError as error:
            self._problems.append(f"{self._prefix}{key}: {error}")
            return otherwise

    def end(self) -> None:
        """All known keys were taken."""
        self._problems += [
            f"{self._prefix}{key}: it is no key of this block"
            for key in self._fields
            if key not in self._known
        ]


def read_block(file: Path) -> tuple[RedisSpec, Access]:
    """The Redis that a file tells of: the block itself, or a config that has it under `redis`.

    Raises:
        CannotStartError: the file does not say it; the text names each field with its fix.
    """
    block = _read(file)
    tls = Tls(
        ca_file=_path(block.tls.ca_cert_file),
        cert_file=_path(block.tls.client_cert_file),
        key_file=_path(block.tls.client_key_file),
        insecure=block.tls.insecure,
    )
    access = Access(
        _secret(file, "password") if block.password else no_password,
        _secret(file, "sentinel_password") if block.sentinel_password else no_password,
        tls,
    )
    return _spec(block), access


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _spec(block: _Block) -> RedisSpec:
    """Of several ways the one that LiveKit takes: sentinels, then a cluster, then the address."""
    common: dict[str, Any] = {
        "db": block.db,
        "username": block.username or None,
        "tls": block.use_tls or block.tls.enabled,
    }
    if block.sentinel_addresses:
        sentinel = RedisSentinel(
            master_name=block.sentinel_master_name,
            addresses=[_with_host(each) for each in block.sentinel_addresses],
            username=block.sentinel_username or None,
        )
        return RedisSpec(sentinel=sentinel, **common)
    if block.cluster_addresses:
        addresses = [_with_host(each) for each in block.cluster_addresses]
        return RedisSpec(cluster=RedisCluster(addresses=addresses), **common)
    return RedisSpec(address=_with_host(block.address), **common)


def _with_host(address: str) -> str:
    """Go dials `:6379` at this machine."""
    return f"localhost{address}" if address.startswith(":") else address


def _secret(file: Path, key: str) -> Password:
    def secret() -> str:
        try:
            text: str = getattr(_read(file), key)
        except CannotStartError as error:
            # As a file that cannot be read: it is being written, or will be put right.
            raise OSError(str(error)) from None
        return text

    return secret


def _read(file: Path) -> _Block:
    try:
        document = go_yaml.document(read_small_text(file))
        fields = go_yaml.fields(document)
        if "redis" in fields:
            fields = go_yaml.fields(fields["redis"])
    except OSError as error:
        raise CannotStartError(f"{_OPTION} {file}: {error.strerror}") from error
    except (go_yaml.BadYamlError, go_yaml.WrongKindError) as error:
        raise CannotStartError(f"{_OPTION} {file}: {error}") from None
    problems: list[str] = []
    block = _block(fields, problems)
    problems += _problems(block)
    if problems:
        raise CannotStartError(f"{_OPTION} {file}: {'; '.join(problems)}")
    return block


def _block(fields: Mapping[str, Node], problems: list[str]) -> _Block:
    reader = _Reader(fields, problems)
    of_tls: Mapping[str, Node] = reader.take("tls", go_yaml.fields, {})
    block = _Block(
        address=reader.take("address", go_yaml.text, ""),
        username=reader.take("username", go_yaml.text, ""),
        password=reader.take("password", go_yaml.text, ""),
        db=reader.take("db", go_yaml.whole, 0),
        use_tls=reader.take("use_tls", go_yaml.flag, otherwise=False),
        tls=_tls(of_tls, problems),
        sentinel_master_name=reader.take("sentinel_master_name", go_yaml.text, ""),
        sentinel_username=reader.take("sentinel_username", go_yaml.text, ""),
        sentinel_password=reader.take("sentinel_password", go_yaml.text, ""),
        sentinel_addresses=reader.take("sentinel_addresses", go_yaml.texts, []),
        cluster_addresses=reader.take("cluster_addresses", go_yaml.texts, []),
    )
    for key in _OF_THE_GO_CLIENT:
        reader.take(key, go_yaml.whole, 0)
    reader.take("max_redirects", go_yaml.whole, 0)
    reader.take("pool_timeout", go_yaml.text, "")
    reader.end()
    return block


def _tls(fields: Mapping[str, Node], problems: list[str]) -> _Tls:
    reader = _Reader(fields, problems, "tls.")
    tls = _Tls(
        enabled=reader.take("enabled", go_yaml.flag, otherwise=False),
        insecure=reader.take("insecure", go_yaml.flag, otherwise=False),
        server_name=reader.take("server_name", go_yaml.text, ""),
        ca_cert_file=reader.take("ca_cert_file", go_yaml.text, ""),
        client_cert_file=reader.take("client_cert_file", go_yaml.text, ""),
        client_key_file=reader.take("client_key_file", go_yaml.text, ""),
    )
    reader.end()
    return tls


def _problems(block: _Block) -> list[str]:
    """What is wrong beyond the kinds of single values."""
    wrong: list[str] = []
    lists = {
        "address": [block.address] if block.address else [],
        "sentinel_addresses": block.sentinel_addresses,
        "cluster_addresses": block.cluster_addresses,
    }
    for key, addresses in lists.items():
        for address in addresses:
            problem = address_problem(address, _TLS_FIELD) if address else "one of them is empty"
            if problem is not None:
                wrong.append(f"{key}: {problem}")
    if not any(lists.values()):
        wrong.append("write address, sentinel_addresses or cluster_addresses")
    if block.sentinel_addresses and not block.sentinel_master_name:
        wrong.append("sentinel_master_name is missing: write the name of the master")
    if not 0 <= block.db <= _MAX_DB:
        wrong.append(f"db: write a number from 0 to {_MAX_DB} that your Redis has (mostly to 15)")
    if block.tls.server_name:
        wrong.append("tls.server_name is not supported: use an address that the certificate names")
    return wrong
