"""Connections to the Redis that livekit-server uses: one server, behind sentinels, or a cluster."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ConstantBackoff

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.formats.hosts import unbracketed
from mediafleet_common.redises.endpoints import RedisEndpoint
from mediafleet_common.redises.hosts import (
    RedisHosts,
    redis_hosts,
    refusal,
)
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.egress.base.settings import RedisTimes
from mediafleet_scheduler.egress.connections.credentials import (
    Password,
    credentials,
    no_password,
    node_class,
    password_in,
    sentinel_class,
)
from mediafleet_scheduler.egress.connections.refusals import of_url_problem

_RETRY_AFTER_SECONDS: Final = 0.05
"""A command on a connection that died while idle is sent again on a new one after so long."""
_DEFAULT_PORT: Final = 6379

Commands = redis.Redis | RedisCluster
"""Runs scripts."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How far a Redis that speaks TLS is trusted, and who we are to it."""

    ca_file: Path | None = None
    """PEM file of the authority that signed its certificate; `None`: the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False
    """Take any certificate."""

    def options(self) -> dict[str, Any]:
        """As redis-py takes it."""
        files = {
            "ssl_ca_certs": self.ca_file,
            "ssl_certfile": self.cert_file,
            "ssl_keyfile": self.key_file,
        }
        given: dict[str, Any] = {name: str(path) for name, path in files.items() if path}
        checks = {"ssl_cert_reqs": "none" if self.insecure else "required"}
        return {"ssl": True, "ssl_check_hostname": not self.insecure, **checks, **given}


@dataclass(frozen=True, slots=True)
class Access:
    """What a Redis asks for that no resource says: it lies in files."""

    password: Password = no_password
    sentinel_password: Password = no_password
    tls: Tls = field(default_factory=Tls)
    hosts: RedisHosts | None = None
    """Who may be told the passwords; `None`: whoever the Redis announces, which the user names in a
    file of his own."""
    demands_tls: bool = False
    """Whether the passwords go over TLS alone."""

    def refusal(self, spec: RedisSpec) -> str | None:
        """Why the Redis that a fleet names gets no password of these; `None`: it may."""
        nothing = self.password is no_password and self.sentinel_password is no_password
        if nothing or self.hosts is None:
            return None
        return refusal(spec, self.hosts, demands_tls=self.demands_tls)


NOTHING_ASKED: Final = Access()
_TIMES: Final = RedisTimes()


class _AnyNode(redis.ConnectionPool):
    """Connections to the nodes of a cluster in rotation: one that is away is passed over."""

    def __init__(self, addresses: Sequence[tuple[str, int]], **options: Any) -> None:
        if options.pop("ssl", False):
            options["connection_class"] = redis.SSLConnection
        super().__init__(**options)
        self._turns = itertools.cycle(addresses)

    def make_connection(self) -> AbstractConnection:
        """A connection to the next node."""
        host, port = next(self._turns)
        self.connection_kwargs |= {"host": host, "port": port}
        made: AbstractConnection = super().make_connection()  # type: ignore[no-untyped-call]
        return made


def access_to(
    passwords: Mapping[str, Path],
    sentinel_passwords: Mapping[str, Path],
    cas: Mapping[str, Path],
    hosts: Mapping[str, Sequence[str]] = MappingProxyType({}),
    over_tls: Collection[str] = (),
) -> dict[str, Access]:
    """What each Redis asks for, from files by its address.

    `hosts`: others than that address that may have its passwords. `over_tls`: those whose passwords
    go over TLS alone, beside those with an authority of their own.

    Raises:
        BadHostError: one of the hosts makes no sense.
    """

    def of(files: Mapping[str, Path], address: str) -> Password:
        return password_in(files[address]) if address in files else no_password

    return {
        address: Access(
            of(passwords, address),
            of(sentinel_passwords, address),
            Tls(cas.get(address)),
            redis_hosts((address, *hosts.get(address, ()))),
            address in over_tls or address in cas,
        )
        for address in passwords.keys() | sentinel_passwords.keys() | cas.keys()
    }


def access_to_declared(
    endpoints: Iterable[RedisEndpoint], folder: Path | None
) -> dict[str, Access]:
    """What each declared Redis asks for, from a folder of its name, by that name."""

    def access(endpoint: RedisEndpoint) -> Access:
        def file(name: str) -> Path | None:
            path = folder / endpoint.name / name if folder is not None else None
            return path if path is not None and path.exists() else None

        def password(name: str) -> Password:
            path = file(name)
            return no_password if path is None else password_in(path)

        return Access(
            password("password"),
            password("sentinel-password"),
            Tls(file("ca.crt")),
            endpoint.may_have_passwords,
            endpoint.tls,
        )

    return {endpoint.name: access(endpoint) for endpoint in endpoints}


@dataclass(frozen=True, slots=True)
class Connections:
    """How one Redis is reached."""

    commands: Commands
    pubsub: redis.Redis
    """The same as `commands`, but for a cluster: there psrpc uses plain pub/sub on any node."""
    where: str
    """For people: no credentials."""
    db: int
    tls: bool = False
    sentinels: Sequence[redis.Redis] = ()

    async def close(self) -> None:
        """Close what is open."""
        await self.commands.aclose()
        if self.pubsub is not self.commands:
            await self.pubsub.aclose()
        for sentinel in self.sentinels:
            await sentinel.aclose()


def _options(times: RedisTimes) -> dict[str, Any]:
    return {
        "decode_responses": True,
        # Pub/sub without push messages: what every Redis since 2.0 speaks.
        "protocol": 2,
        "socket_connect_timeout": times.connect_seconds,
        "socket_timeout": times.answer_seconds,
        "socket_keepalive": True,
        # A connection that died while it was idle is noticed at the next call only.
        "retry": Retry(ConstantBackoff(_RETRY_AFTER_SECONDS), 1),
    }


def of_url(url: str, password: str | None = None, times: RedisTimes = _TIMES) -> Connections:
    """The Redis at a `redis://`, `rediss://` or `unix://` URL.

    `password` counts when the URL has none: command lines are no place for secrets.

    Raises:
        CannotStartError: the URL makes no sense.
    """
    problem = of_url_problem(url, password)
    if problem is not None:
        raise CannotStartError(f"--redis: {problem}")
    try:
        options = _options(times)
        if url.startswith("unix://"):
            del options["socket_keepalive"]
        client = redis.Redis.from_url(url, password=password, **options)
        # Makes an object alone, and so refuses options that no connection has.
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, AttributeError):
        # What it says quotes the URL, which may hold a password.
        raise CannotStartError(
            "--redis: this URL cannot be used: write redis://HOST:PORT/DB, without options"
        ) from None
    settings = client.connection_pool.connection_kwargs
    where = settings.get("path") or (
        f"{settings.get('host', 'localhost')}:{settings.get('port', _DEFAULT_PORT)}"
    )
    secure = url.startswith("rediss://")
    return Connections(client, client, str(where), int(settings.get("db") or 0), secure)


def of_spec(
    spec: RedisSpec, access: Access = NOTHING_ASKED, times: RedisTimes = _TIMES
) -> Connections:
    """The Redis that a fleet names.

    Raises:
        CannotStartError: it names none.
    """
    options = _options(times)
    options |= credentials(spec.username, access.password, access.hosts)
    tls = access.tls.options() if spec.tls else {}
    options |= tls
    where = where_of(spec)
    if spec.cluster is not None:
        addresses = [host_port(address) for address in spec.cluster.addresses]
        any_node = redis.Redis.from_pool(_AnyNode(addresses, **options))
        # A cluster client tries again by itself, on the node that has the keys by then.
        del options["retry"]
        return Connections(_cluster(addresses, options), any_node, where, 0, spec.tls)
    if spec.sentinel is not None:
        sentinels = [host_port(address) for address in spec.sentinel.addresses]
        theirs = {
            "socket_connect_timeout": times.connect_seconds,
            "protocol": 2,
            **tls,
            **credentials(spec.sentinel.username, access.sentinel_password, access.hosts),
        }
        sentinel = Sentinel(sentinels, sentinel_kwargs=theirs)  # type: ignore[no-untyped-call]
        of_master = options | {"connection_class": sentinel_class(tls=spec.tls)}
        master: redis.Redis = sentinel.master_for(
            spec.sentinel.master_name, db=spec.db, **of_master
        )
        return Connections(master, master, where, spec.db, spec.tls, sentinel.sentinels)
    if spec.address is None:
        raise CannotStartError("redis needs an address, a sentinel or a cluster")
    host, port = host_port(spec.address)
    client = redis.Redis(host=host, port=port, db=spec.db, **options)
    return Connections(client, client, where, spec.db, spec.tls)


def _cluster(addresses: Sequence[tuple[str, int]], options: Mapping[str, Any]) -> RedisCluster:
    nodes = [ClusterNode(*address) for address in addresses]
    cluster = RedisCluster(startup_nodes=nodes, **options)
    # It takes no class; nodes that are announced are made with these options.
    kind = node_class(tls="ssl" in options)
    cluster.connection_kwargs["connection_class"] = kind
    for node in cluster.startup_nodes:
        node.connection_class = kind
    return cluster


def where_of(spec: RedisSpec) -> str:
    """Where a Redis is, for people and for naming its password: the first address it has."""
    if spec.cluster is not None:
        return spec.cluster.addresses[0]
    if spec.sentinel is not None:
        return spec.sentinel.addresses[0]
    return spec.address or ""


def host_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon:
        return address, _DEFAULT_PORT
    if not port.isdigit():
        raise CannotStartError(f"redis: {address!r} is not HOST:PORT")
    return unbracketed(host), int(port)
