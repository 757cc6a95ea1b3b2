"""Waiting until a Redis answers, or saying in one sentence why it never will."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from redis.exceptions import RedisError

from mediafleet_common.back_off import BackOff
from mediafleet_common.cancellation import or_cancelled
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.egress.base.settings import RedisTimes
from mediafleet_scheduler.egress.connections.opening import Connections, host_port
from mediafleet_scheduler.egress.connections.refusals import NO_TLS, why_not

_log: Final = logging.getLogger(__name__)


async def until_it_answers(connections: Connections, times: RedisTimes) -> None:
    """Wait for Redis, which may be starting beside us.

    Raises:
        CannotStartError: it has not answered in time, or refuses us.
    """
    where = connections.where
    deadline = asyncio.get_running_loop().time() + times.start_seconds
    back_off = BackOff(0.1, 1.0)
    while True:
        try:
            async with asyncio.timeout(times.answer_seconds):
                await or_cancelled(connections.pubsub.ping())
        except (RedisError, OSError, TimeoutError) as error:
            for_good = why_not(error, connections.db)
            if for_good is None and connections.tls and await _speaks_plainly(where, times):
                for_good = NO_TLS
            if for_good is not None:
                raise CannotStartError(f"Redis at {where}: {for_good}") from error
            if asyncio.get_running_loop().time() > deadline:
                raise CannotStartError(f"Redis at {where}: {_words(error, times)}") from error
            _log.warning("waiting for Redis at %s: %s", where, _words(error, times))
            await asyncio.sleep(back_off.pause())
        else:
            return


async def _speaks_plainly(where: str, times: RedisTimes) -> bool:
    """Whether a Redis answers without TLS: one that does waits for ever in a TLS handshake."""
    try:
        host, port = host_port(where)
        async with asyncio.timeout(times.connect_seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"PING\r\n")
                said = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, CannotStartError):
        return False
    return said.startswith((b"+PONG", b"-NOAUTH", b"-DENIED", b"-LOADING"))


def _words(error: Exception, times: RedisTimes) -> str:
    return str(error) or f"no answer in {times.answer_seconds:g} s"
