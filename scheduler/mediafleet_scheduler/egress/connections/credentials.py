"""User and password of a Redis, which its declared hosts alone are told.

Each connection is asked for its host before it is dialled: sentinels and clusters announce hosts
that nobody wrote down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError

from mediafleet_common.redises.hosts import RedisHosts, undeclared
from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text

Password = Callable[[], str | None]
"""Told at each connection, so that a changed secret is taken up; `None`: there is none."""


def no_password() -> str | None:
    """A Redis that asks for none."""
    return None


def password_in(path: Path) -> Password:
    """The password that a file holds."""
    return lambda: read_small_text(path, MAX_SECRET_BYTES).strip()


class Credentials(CredentialProvider):
    """User and password, for declared hosts; without a declaration for any."""

    def __init__(
        self, username: str | None, password: Password, hosts: RedisHosts | None = None
    ) -> None:
        self._username = username
        self._password = password
        self._hosts = hosts

    def check(self, host: str, port: int) -> None:
        """Raise RedisConnectionError unless a host may be told them."""
        if self._hosts is not None and not self._hosts.has(host, port):
            raise RedisConnectionError(undeclared(host, port))

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """As redis-py asks for them."""
        try:
            password = self._password() or ""
        except OSError as error:
            raise RedisConnectionError(
                f"its password cannot be read: {error.strerror or error}"
            ) from error
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """As redis-py asks for them."""
        return self.get_credentials()


def credentials(
    username: str | None, password: Password, hosts: RedisHosts | None
) -> dict[str, Any]:
    """As an option of redis-py."""
    if not username and password is no_password:
        return {}
    return {"credential_provider": Credentials(username, password, hosts)}


class _Checked:
    """A connection that is dialled only where its credentials may go."""

    host: str
    port: int
    credential_provider: CredentialProvider | None

    async def _connect(self) -> None:
        if isinstance(self.credential_provider, Credentials):
            self.credential_provider.check(self.host, int(self.port))
        await super()._connect()  # type: ignore[misc]


class _Plain(_Checked, Connection):
    pass


class _Tls(_Checked, SSLConnection):
    pass


class _Master(_Checked, SentinelManagedConnection):
    pass


class _TlsMaster(_Checked, SentinelManagedSSLConnection):
    pass


def node_class(*, tls: bool) -> type[Connection]:
    """Connections to nodes of a cluster."""
    return _Tls if tls else _Plain


def sentinel_class(*, tls: bool) -> type[SentinelManagedConnection]:
    """Connections to a master that sentinels announce."""
    return _TlsMaster if tls else _Master
