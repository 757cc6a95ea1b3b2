"""An answer for the Docker client of a stock AI worker, which starts no container.

A stock worker ends if Docker does not answer, also where every model has a runner's URL. It asks
for the version of the API (`/_ping`), for containers that an earlier self has left, and whether the
image of each model is there. It is told that there are no containers, and that images are there:
one that is missing would be pulled. All else is refused, so that a model without a URL fails with a
reason in the worker's log.

Source: livepeer/go-livepeer ai/worker/docker.go (NewDockerManager, EnsureImageAvailable); the paths
are those of Docker's Engine API.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from aiohttp import web

from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.run import CannotStartError

API_VERSION: Final = "1.44"
"""The client goes down to it, or stays at an older one of its own."""
_VERSIONED: Final = "/{version:v[0-9.]+}"
_IMAGE_ID: Final = f"sha256:{'0' * 64}"
_REFUSAL: Final = (
    "this pod has no Docker: give each model in -aiModels the URL of a runner beside the worker"
)


class DockerStub:
    """Listens at HOST:PORT. An async context manager.

    Raises:
        CannotStartError: on entering, when the address cannot be listened on.
    """

    def __init__(self, listen: str) -> None:
        self._listen = listen
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port in use; only once started."""
        if self._runner is None:
            raise RuntimeError("the stub is not started")
        return int(self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        host, port = split_host_port(self._listen)
        app = web.Application()
        app.add_routes(
            [
                web.get("/_ping", _ping),
                *(web.get(f"{each}/containers/json", _containers) for each in ("", _VERSIONED)),
                *(web.get(f"{each}/images/{{name:.+}}/json", _image) for each in ("", _VERSIONED)),
                web.route("*", "/{all:.*}", _refuse),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise CannotStartError(f"cannot listen on {self._listen}: {error}") from error
        self._runner = runner
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


async def _ping(_: web.Request) -> web.Response:
    """The client takes the version of the API from a header, also of HEAD."""
    return web.Response(text="OK", headers={"Api-Version": API_VERSION, "Ostype": "linux"})


async def _containers(_: web.Request) -> web.Response:
    return web.json_response([])


async def _image(request: web.Request) -> web.Response:
    return web.json_response({"Id": _IMAGE_ID, "RepoTags": [request.match_info["name"]]})


async def _refuse(_: web.Request) -> web.Response:
    return web.json_response({"message": _REFUSAL}, status=501)
