"""Tenants of VictoriaMetrics' cluster by a real vmauth with the sample.

Debian has no vminsert, vmselect or vmstorage. In their place stand-ins take the cluster's paths of
tenant 7 and no other, and hand what comes to a real single VictoriaMetrics: held are the paths, the
tokens and the names of operators, and not the cluster itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.kit import stores
from tests.kit.community import Time
from tests.kit.web import serving
from tests.real.community.test_weeks import NOW, A, answered, told

from mediafleet_scheduler.community.weeks.archive import Archive
from mediafleet_scheduler.community.weeks.store import Store, StoreError
from mediafleet_scheduler.core.community.weeks.series import Sample
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.tools import debian

pytestmark = pytest.mark.timeout(300)
SAMPLE = REPOSITORY / "samples/community/vmauth.yaml"
SENT = (("__name__", "mediafleet_community_streams_published"), ("operator", "somebody-else"))


@dataclass
class Part:
    """A stand-in for vminsert or vmselect: these paths, and the single server behind them."""

    prefixes: tuple[str, ...]
    single: str
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        prefix = next((each for each in self.prefixes if request.path.startswith(each)), None)
        if prefix is None:
            return web.Response(status=400, text="unsupported path")
        url = f"{self.single}/{request.path.removeprefix(prefix)}"
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in ("Accept-Encoding", "Content-Type", "Content-Encoding")
        }
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                url,
                params=request.query,
                data=await request.read(),
                headers=headers,
            ) as told_by,
        ):
            return web.Response(
                status=told_by.status,
                body=await told_by.read(),
                content_type=told_by.content_type,
            )


@asynccontextmanager
async def served(part: Part) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", part.answer)
    async with serving(app) as url:
        yield url


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[str, Part, Part]]:
    """vmauth's URL, and what stands for vminsert and vmselect."""
    async with AsyncExitStack() as stack:
        single = await stack.enter_async_context(stores.victoria_metrics(folder, free_port()))
        insert = Part(("/insert/7/prometheus/",), single)
        select = Part(("/select/7/prometheus/", "/delete/7/prometheus/"), single)
        config = SAMPLE.read_text()
        for name, port, part in (("vminsert", 8480, insert), ("vmselect", 8481, select)):
            url = await stack.enter_async_context(served(part))
            there = f"http://community-victoria-metrics-cluster-{name}:{port}"
            assert there in config
            config = config.replace(there, url)
        (folder / "vmauth.yaml").write_text(config)
        port = free_port()
        command = (f"-auth.config={folder}/vmauth.yaml", f"-httpListenAddr=127.0.0.1:{port}")
        await stack.enter_async_context(
            stores.started(folder / "vmauth.log", port, "vmauth", *command)
        )
        yield f"http://127.0.0.1:{port}", insert, select


def token(folder: Path, of: str) -> Path:
    file = folder / of
    file.write_text(f"example-token-of-{of}\n")
    return file


async def test_weeks_and_what_operators_send_go_through_vmauth_into_one_tenant(
    tmp_path: Path,
) -> None:
    debian.ensure(stores.PROGRAMS)
    async with cluster(tmp_path) as (url, insert, select):
        # An operator sends, and the name is that of its token.
        await Store(url, token(tmp_path, "a")).write([Sample(SENT, int(NOW), 20)])
        # The collector writes, reads and deletes in the same tenant.
        mine = Store(f"{url}/select/7/prometheus", token(tmp_path, "the-collector"))
        kept = Archive(mine, clock=Time(NOW).clock)
        await kept.keep({A: told(1)}, 1)
        assert await answered(kept.restore, bool) == {A: told(1)}

        async def sender() -> bytes:
            series = "mediafleet_community_streams_published"
            return await mine.query(series, int(NOW), int(NOW) + 60, 60)

        found = await answered(sender, lambda body: b"streams_published" in body)
        assert b'"operator":"a"' in found
        assert b"somebody-else" not in found
        assert await kept.forget(A)
        assert await answered(kept.restore, lambda left: not left) == {}
        assert set(insert.asked) == {"/insert/7/prometheus/api/v1/write"}
        assert set(select.asked) == {
            "/select/7/prometheus/api/v1/query_range",
            "/delete/7/prometheus/api/v1/admin/tsdb/delete_series",
        }


async def test_nobody_reads_or_deletes_by_another_token_or_in_another_tenant(
    tmp_path: Path,
) -> None:
    debian.ensure(stores.PROGRAMS)
    async with cluster(tmp_path) as (url, insert, select):
        collector, operator = token(tmp_path, "the-collector"), token(tmp_path, "a")
        for place, secret in (
            (f"{url}/select/7/prometheus", operator),
            (f"{url}/select/7/prometheus", None),
            (f"{url}/select/8/prometheus", collector),
        ):
            store = Store(place, secret)
            with pytest.raises(StoreError):
                await store.query("up", int(NOW), int(NOW), 60)
            with pytest.raises(StoreError):
                await store.delete('{operator="a"}')
            with pytest.raises(StoreError):
                await store.write([Sample(SENT, int(NOW), 20)])
        assert (insert.asked, select.asked) == ([], [])
