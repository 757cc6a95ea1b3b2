"""A stand-in for an egress worker: `python -m mediafleet_testbed.standins.egress`.

It speaks psrpc, admits, counts and tells as livekit/egress does, and records nothing. What it is
like comes from EGRESS_CONFIG_FILE, as the real one's settings do, then from flags; each flag can
also be given as STANDIN_<FLAG>.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from redis.asyncio import Redis

from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.standins import egress_metrics, tiny_http
from mediafleet_testbed.standins.egress_rules import (
    DEFAULT_COSTS,
    MAX_PULSE_CLIENTS,
    Admission,
    Memory,
)
from mediafleet_testbed.standins.egress_worker import Conduct, Io, Worker

_DRAIN_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the stand-in is told."""

    redis_url: str
    cluster_id: str
    metrics: str
    health: str | None
    admission: Admission
    conduct: Conduct
    boot_seconds: float
    unreadable_metrics: bool


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM (ends when the jobs have), SIGINT (ends the jobs) or an internal error.

    However it ends, it waits for no update that livekit-server has not taken.
    """
    asyncio.run(_run(_settings(arguments)))


async def _run(settings: Settings) -> None:
    terminated, interrupted = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, terminated.set)
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    await asyncio.sleep(settings.boot_seconds)
    async with (
        contextlib.aclosing(Redis.from_url(settings.redis_url)) as redis,
        RedisBus(redis) as bus,
        Worker(bus, settings.cluster_id, settings.admission, settings.conduct) as worker,
    ):
        pages = {
            "/": lambda: "{}\n",
            "/jobs": worker.log,
            "/metrics": lambda: _metrics(worker, settings),
        }
        servers = [await tiny_http.serve(*tiny_http.split(settings.metrics), pages)]
        if settings.health:
            servers.append(await tiny_http.serve(*tiny_http.split(settings.health), pages))
        port = servers[0].sockets[0].getsockname()[1]
        print(f"stand-in egress worker {settings.cluster_id} ready, metrics :{port}", flush=True)
        await _first(terminated, interrupted, worker.shut_down)
        draining = asyncio.create_task(_drained(worker, terminated, interrupted))
        interrupting = asyncio.create_task(interrupted.wait())
        await asyncio.wait({draining, interrupting}, return_when=asyncio.FIRST_COMPLETED)
        interrupting.cancel()
        worker.stop_all()
        await draining
        for server in servers:
            server.close()


async def _drained(worker: Worker, *signals: asyncio.Event) -> None:
    """Wait as livekit/egress pkg/server/server.go (Drain) does: by a look each second."""
    while True:
        if not worker.terminating and any(signal.is_set() for signal in signals):
            await worker.stop_taking()
        if worker.idle:
            return
        await asyncio.sleep(_DRAIN_LOOK_SECONDS)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _metrics(worker: Worker, settings: Settings) -> str:
    if settings.unreadable_metrics:
        return "<html>these are not metrics</html>\n"
    return egress_metrics.exposition(worker)


def _settings(arguments: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(description=__doc__)

    def flag(name: str, default: Any, meaning: str, kind: type = str) -> None:
        given = os.environ.get(f"STANDIN_{name.upper().replace('-', '_')}")
        parser.add_argument(
            f"--{name}", type=kind, default=default if given is None else kind(given), help=meaning
        )

    def switch(name: str, meaning: str) -> None:
        given = os.environ.get(f"STANDIN_{name.upper().replace('-', '_')}") == "1"
        parser.add_argument(f"--{name}", action="store_true", default=given, help=meaning)

    flag("redis", None, "redis://HOST:PORT")
    flag("cluster-id", None, "psrpc topic")
    flag("metrics", None, "HOST:PORT of metrics and /jobs")
    flag("health", None, "HOST:PORT of health")
    flag("cpus", float(os.cpu_count() or 1), "CPUs it believes to have", float)
    flag("job-seconds", None, "how long a job lasts; absent: until stopped", float)
    flag("start-seconds", 0.005, "how long a start takes", float)
    flag("active-seconds", 0.0, "how long a launched handler takes to be ACTIVE", float)
    flag("abort-seconds", 0.0, "how long an aborted handler takes to end", float)
    flag("chrome-fails", "", "every job with Chrome ends with an error 500 of this text")
    flag("boot-seconds", 0.0, "how long it takes until it listens to anybody", float)
    flag("io", Io.SERVER, "server | publish", Io)
    flag("fails", "", "every granted start fails with this text")
    switch("upstream", "listen on the empty topic, as a stock fleet")
    switch("silent-aborts", "say nothing of a handler whose record was not made")
    switch("mute", "never bid")
    switch("silent", "start and never answer")
    switch("unreadable-metrics", "serve metrics that are none")
    options = parser.parse_args(arguments)
    config = _config()
    redis = config.get("redis", {})
    options.redis = options.redis or _url(redis)
    options.cluster_id = options.cluster_id or config.get("cluster_id") or "egress"
    if options.redis is None:
        parser.error("give --redis, or redis.address in EGRESS_CONFIG_FILE")
    costs = config.get("cpu_cost", {})
    health = config.get("health_port")
    return Settings(
        redis_url=options.redis,
        cluster_id=options.cluster_id,
        metrics=options.metrics or f":{config.get('prometheus_port') or 9091}",
        health=options.health or (f":{health}" if health else None),
        admission=Admission(
            cpus=options.cpus,
            max_cpu_utilization=costs.get("max_cpu_utilization", 0.8),
            costs={
                kind: costs.get(f"{kind}_cpu_cost", usual) for kind, usual in DEFAULT_COSTS.items()
            },
            memory=Memory(
                costs.get("max_memory", 0.0),
                costs.get("memory_cost", 0.0),
                costs.get("sdk_audio_room_composite_memory_cost"),
            ),
            max_pulse_clients=costs.get("max_pulse_clients", MAX_PULSE_CLIENTS),
        ),
        conduct=Conduct(
            job_seconds=options.job_seconds,
            start_seconds=options.start_seconds,
            # An empty topic is the one that livekit-server calls.
            upstream=options.upstream or config.get("cluster_id") == "",
            active_seconds=options.active_seconds,
            abort_seconds=options.abort_seconds,
            abort_tells=not options.silent_aborts,
            chrome_fails=options.chrome_fails,
            io=Io(options.io),
            mute=options.mute,
            fails=options.fails,
            silent=options.silent,
        ),
        boot_seconds=options.boot_seconds,
        unreadable_metrics=options.unreadable_metrics,
    )


def _config() -> dict[str, Any]:
    path = os.environ.get("EGRESS_CONFIG_FILE")
    return yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {} if path else {}


def _url(redis: dict[str, Any]) -> str | None:
    if not redis.get("address"):
        return None
    user, password = redis.get("username", ""), redis.get("password", "")
    login = f"{user}:{password}@" if user or password else ""
    scheme = "rediss" if redis.get("use_tls") else "redis"
    return f"{scheme}://{login}{redis['address']}/{redis.get('db', 0)}"


if __name__ == "__main__":
    main()
