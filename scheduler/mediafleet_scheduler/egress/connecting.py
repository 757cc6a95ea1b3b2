"""Connections to the Redis that livekit-server uses."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mediafleet_common.serving.run import CannotStartError

_CONNECT_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 5.0
_RETRY_AFTER_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


def client_of(url: str, password: str | None = None) -> redis.Redis:
    """A client of the Redis at a `redis://`, `rediss://` or `unix://` URL.

    `password` counts when the URL has none: command lines are no place for secrets.

    Raises:
        CannotStartError: the URL makes no sense.
    """
    try:
        return redis.Redis.from_url(
            url,
            password=password,
            decode_responses=True,
            protocol=2,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            socket_keepalive=True,
            # A connection that died while it was idle is noticed at the next call only.
            retry=Retry(ConstantBackoff(_RETRY_AFTER_SECONDS), 1),
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
        )
    except (ValueError, TypeError) as error:
        raise CannotStartError(f"--redis: {error}") from error


def place_of(client: redis.Redis) -> tuple[str, int]:
    """Where a client connects to, without credentials, and its database number."""
    settings = client.connection_pool.connection_kwargs
    db = int(settings.get("db") or 0)
    if path := settings.get("path"):
        return str(path), db
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}", db


async def until_it_answers(client: redis.Redis) -> None:
    """Wait for Redis, which may be starting beside us.

    Raises:
        CannotStartError: it has not answered in half a minute, or refuses us.
    """
    where, _ = place_of(client)
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await client.ping()
        except (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError) as error:
            late = asyncio.get_running_loop().time() > deadline
            # Wrong credentials come as connection errors too, and do not get better.
            if late or "auth" in type(error).__name__.lower():
                raise CannotStartError(f"Redis at {where}: {error}") from error
            _log.warning("waiting for Redis at %s: %s", where, error)
            await asyncio.sleep(_PAUSE_SECONDS)
        except RedisError as error:
            raise CannotStartError(f"Redis at {where}: {error}") from error
        else:
            return
