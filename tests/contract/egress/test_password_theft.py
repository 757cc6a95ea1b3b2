"""A host that nobody declared never hears a password, whoever sends the desk there."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.egress.base.settings import RedisTimes, Settings
from mediafleet_scheduler.egress.connections.opening import Connections, access_to
from mediafleet_scheduler.egress.process.serve import Options
from mediafleet_scheduler.psrpc.resp import Parser

# redis-py forgets to close its connections to nodes that a cluster has lost.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PASSWORD = "open-sesame"
KNOWN = "*1\r\n*6\r\n$3\r\nset\r\n:-3\r\n*0\r\n:1\r\n:1\r\n:1"
"""The answer to COMMAND: a cluster client takes from it where the key of SET stands."""
USUAL = {"AUTH": "+OK", "CLIENT": "+OK", "SELECT": "+OK", "COMMAND": KNOWN}
Answer = Callable[[list[str]], str]


@dataclass
class Host:
    """What calls itself a Redis on a port, and all that it was told."""

    answer: Answer
    port: int = 0
    heard: list[str] = field(default_factory=list)
    open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open[writer] = asyncio.current_task()
        parser = Parser()
        with suppress(OSError):
            while data := await reader.read(65536):
                for said in parser.feed(data):
                    words = [word.decode() for word in said if isinstance(word, bytes)]  # type: ignore[union-attr]
                    self.heard += words
                    answer = USUAL.get(words[0]) or self.answer(words)
                    writer.write(f"{answer}\r\n".encode())
        writer.close()

    async def close(self) -> None:
        for writer in self.open:
            writer.close()
        await asyncio.gather(*(task for task in self.open.values() if task is not None))


@asynccontextmanager
async def host(answer: Answer = lambda _: "+OK") -> AsyncIterator[Host]:
    made = Host(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What was forgotten is found here, and not in a test that comes after."""
    yield
    gc.collect()


@pytest.fixture
async def thief() -> AsyncIterator[Host]:
    """Nobody declared it."""
    async with host() as made:
        yield made


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    return file


def options(of: Host, password: Path, *hosts: str, over_tls: bool = False) -> Options:
    files = {of.address: password}
    access = access_to(files, files, {}, {of.address: hosts}, files if over_tls else ())
    times = RedisTimes(connect_seconds=60, answer_seconds=60)
    return Options("127.0.0.1:0", access=access, settings=Settings(redis=times))


def cluster(*hosts: Host) -> RedisSpec:
    return RedisSpec.model_validate({"cluster": {"addresses": [each.address for each in hosts]}})


def sentinel(*hosts: Host) -> RedisSpec:
    addresses = [each.address for each in hosts]
    return RedisSpec.model_validate({"sentinel": {"master_name": "m", "addresses": addresses}})


@pytest.mark.parametrize("made", [cluster, sentinel])
async def test_an_address_written_beside_the_declared_one_is_not_dialled(
    made: Callable[..., RedisSpec], thief: Host, password: Path
) -> None:
    async with host(lambda _: "-ERR no") as declared:
        with pytest.raises(CannotStartError, match=f"not for {thief.address}.*redis-host"):
            options(declared, password).connections(made(declared, thief))
    assert thief.heard == []


async def test_a_fleet_that_says_no_tls_gets_no_password_that_goes_over_tls(
    password: Path,
) -> None:
    async with host() as declared:
        plain = RedisSpec(address=declared.address)
        with pytest.raises(CannotStartError, match=r"spec\.redis\.tls"):
            options(declared, password, over_tls=True).connections(plain)
        assert declared.heard == []


def slots_at(port: int) -> str:
    return f"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$1\r\nn"


def announcing_slots(other: Host) -> Answer:
    return lambda words: slots_at(other.port) if words[0] == "CLUSTER" else "+OK"


def announcing_master(other: Host) -> Answer:
    fields = {
        "name": "m",
        "ip": "127.0.0.1",
        "port": other.port,
        "flags": "master",
        "num-other-sentinels": 0,
    }
    flat = [str(each) for pair in fields.items() for each in pair]
    one = f"*{len(flat)}\r\n" + "\r\n".join(f"${len(each)}\r\n{each}" for each in flat)
    return lambda words: f"*1\r\n{one}" if words[0] == "SENTINEL" else "+OK"


ANNOUNCED = [(cluster, announcing_slots), (sentinel, announcing_master)]


async def ask(connections: Connections, stack: AsyncExitStack) -> None:
    stack.push_async_callback(connections.close)
    await connections.commands.set("key", "value")


@pytest.mark.parametrize(("made", "announcing"), ANNOUNCED)
async def test_an_undeclared_host_that_is_announced_is_not_dialled(
    made: Callable[..., RedisSpec],
    announcing: Callable[[Host], Answer],
    thief: Host,
    password: Path,
) -> None:
    async with host(announcing(thief)) as declared, AsyncExitStack() as stack:
        connections = options(declared, password).connections(made(declared))
        with pytest.raises(RedisError):
            await ask(connections, stack)
        assert PASSWORD in declared.heard
    assert thief.heard == []


@pytest.mark.parametrize(("made", "announcing"), ANNOUNCED)
async def test_a_declared_host_that_is_announced_gets_the_password(
    made: Callable[..., RedisSpec], announcing: Callable[[Host], Answer], password: Path
) -> None:
    async with (
        host() as friend,
        host(announcing(friend)) as declared,
        AsyncExitStack() as stack,
    ):
        allowed = options(declared, password, "127.0.0.0/8")
        await ask(allowed.connections(made(declared)), stack)
        assert friend.heard[-3:] == ["SET", "key", "value"]
        assert PASSWORD in friend.heard


async def test_a_redirection_to_an_undeclared_host_is_not_followed(
    thief: Host, password: Path
) -> None:
    own: list[Host] = []

    def answer(words: list[str]) -> str:
        if words[0] == "CLUSTER":
            return slots_at(own[0].port)
        return f"-MOVED {key_slot(b'key')} {thief.address}" if words[0] == "SET" else "+OK"

    async with host(answer) as declared, AsyncExitStack() as stack:
        own.append(declared)
        connections = options(declared, password).connections(cluster(declared))
        with pytest.raises(RedisError):
            await ask(connections, stack)
        assert "SET" in declared.heard
    assert thief.heard == []
