"""What a drain proxy does in which state, and what it is understood to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mediafleet_common.agent.drain_proxy import (
    GONE,
    DrainProxy,
    ProxySight,
    in_flight,
    refuses,
    table_keys,
    workers,
)
from mediafleet_common.agent.proxy_config import ProxyFiles, render
from mediafleet_common.probes.load import Load, Source, parse

PROC = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
4126            master          10 [failed: 0]  0d00h03m04s     2.6.12-1+deb12u4
# workers
13452           worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
13438           worker          1               0d00h00m02s     2.6.12-1+deb12u4
# programs
"""
STAT = """\
# pxname,svname,qcur,qmax,scur,smax,
node,FRONTEND,,,9,9,
work,node,0,0,3,3,
work,BACKEND,0,0,3,3,
upgraded,BACKEND,0,0,1,1,
standing,BACKEND,0,0,5,5,
"""


@pytest.mark.parametrize(
    ("told", "refusing"),
    [
        ("", False),
        ("\n", False),
        ("1970-01-01T00:01:40.000Z", True),
        ("1970-01-01T00:01:40.001Z", False),
        # Whatever that means: it stays as it is.
        ("soon", None),
        ("1970-01-01T00:01:40", None),
    ],
)
def test_it_refuses_from_the_time_that_is_written_on_the_pod(
    told: str, *, refusing: bool | None
) -> None:
    assert refuses(told, 100.0) is refusing


def test_workers_from_before_a_reload_count_too() -> None:
    assert workers(PROC) == (13452, 13438)
    assert workers("") == ()


def test_requests_in_flight_are_those_that_are_work() -> None:
    assert in_flight(STAT) == 4
    assert in_flight("Can't find the target PID\n") is None
    assert in_flight(STAT.replace("upgraded,BACKEND,0,0,1,1,\n", "")) is None


def test_streams_of_remote_workers_and_pings_are_no_work() -> None:
    config = render(ProxyFiles(Path("/p")), "0.0.0.0:8935", "127.0.0.1:7938")
    [rule] = [line for line in config.splitlines() if "use_backend standing" in line]

    assert "/net.AIWorker/RegisterAIWorker" in rule
    assert "/net.Orchestrator/Ping" in rule


class Master:
    """HAProxy's master with a worker, as far as the agent asks it."""

    def __init__(self) -> None:
        self.acl: set[str] = set()
        self.counts = "3"
        self.heard: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.read()).decode().strip()
        self.heard.append(command)
        words = command.split()
        if command == "show proc":
            writer.write(PROC.partition("# old")[0].encode())
        elif words[1:3] == ["add", "acl"]:
            self.acl.add(words[-1])
        elif words[1:3] == ["clear", "acl"]:
            self.acl.clear()
        elif words[1:3] == ["show", "acl"]:
            writer.write("".join(f"0x1 {word}\n" for word in self.acl).encode())
        elif words[1:3] == ["show", "stat"]:
            writer.write(
                STAT.replace("work,BACKEND,0,0,3", f"work,BACKEND,0,0,{self.counts}").encode()
            )
        writer.close()


@asynccontextmanager
async def haproxy(folder: Path) -> AsyncIterator[tuple[Master, DrainProxy]]:
    files, master = ProxyFiles(folder), Master()
    server = await asyncio.start_unix_server(master.answer, files.socket)
    async with server:
        yield master, DrainProxy(files, folder / "refuse-from")


async def test_a_drain_is_written_down_before_haproxy_is_told_and_reloaded(tmp_path: Path) -> None:
    async with haproxy(tmp_path) as (master, proxy):
        await proxy.step()
        assert await proxy.look() == ProxySight(False, 4)
        master.heard.clear()

        proxy.refuse_from.write_text("1970-01-01T00:00:00Z")
        await proxy.step()

        assert proxy.files.refusing.read_text() == "yes\n"
        assert master.acl == {"yes"}
        assert master.heard[-1] == "reload"
        assert await proxy.look() == ProxySight(True, 4)
        master.heard.clear()
        await proxy.step()
        assert "reload" not in master.heard


async def test_the_end_of_a_drain_opens_it_without_a_reload(tmp_path: Path) -> None:
    async with haproxy(tmp_path) as (master, proxy):
        proxy.files.refusing.write_text("yes\n")
        master.acl.add("yes")

        await proxy.step()

        assert proxy.files.refusing.read_text() == ""
        assert await proxy.look() == ProxySight(False, 4)
        assert "reload" not in master.heard


async def test_what_is_not_understood_is_unknown(tmp_path: Path) -> None:
    async with haproxy(tmp_path) as (master, proxy):
        master.counts = "many"
        assert await proxy.look() == ProxySight(False, None)
    assert await proxy.look() == GONE


def test_the_load_of_a_pool_may_be_the_requests_in_flight() -> None:
    text = "mediafleet_agent_requests 3.0\nmediafleet_agent_refusing 1.0\n"

    assert parse(text, Source.REQUESTS) == Load(jobs=3, in_flight=3, refusing=True)
    sessions = f"{text}livepeer_current_sessions_total 0\n"
    assert parse(sessions, Source.TRANSCODE) == Load(jobs=0, in_flight=3, refusing=True)
    assert parse("", Source.REQUESTS) == Load()


def test_streams_of_a_door_are_the_keys_of_its_table() -> None:
    answer = """\
# table: origins, type: string, size:102400, used:2
0x5581: key=203.0.114.0|AA11 use=0 exp=29000 shard=0 http_req_cnt=1
0x5582: key=2a01:4f8:1::|BB22 use=1 exp=1000 shard=0 http_req_cnt=9

"""
    assert table_keys(answer) == {"203.0.114.0|AA11", "2a01:4f8:1::|BB22"}
    assert table_keys("No such table\n") == frozenset()


async def test_a_door_that_does_not_answer_names_no_stream(tmp_path: Path) -> None:
    assert await DrainProxy(ProxyFiles(tmp_path), tmp_path / "from").origins() == frozenset()


def test_where_streams_come_from_is_remembered_only_where_it_is_asked_for(tmp_path: Path) -> None:
    files = ProxyFiles(tmp_path)
    plain = render(files, "0.0.0.0:8935", "127.0.0.1:7938")
    assert "stick-table" not in plain
    assert "track-sc0" not in plain
    origins = render(files, "0.0.0.0:8935", "127.0.0.1:7938", origins=True)
    # No more than a network, and no longer than half a minute.
    assert "set-var(txn.net) src,ipmask(24,48)" in origins
    assert "expire 30s" in origins
    assert origins.startswith(plain.partition("  use_backend")[0])
