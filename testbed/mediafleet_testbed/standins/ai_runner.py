"""An ai-runner that takes a while: text-to-speech whose answer is its own text.

`python -m … --port PORT --seconds SECONDS`. It speaks the API of ai-runner, and begins to answer
/health after `--load-seconds`, as one that loads a model.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import time

from aiohttp import web


def app(seconds: float, load_seconds: float = 0.0) -> web.Application:
    """The runner's API."""
    began = time.monotonic()

    async def run(request: web.Request) -> web.Response:
        text = (await request.json())["text"]
        await asyncio.sleep(seconds)
        said = base64.b64encode(str(text).encode()).decode()
        return web.json_response({"audio": {"url": f"data:audio/wav;base64,{said}"}})

    async def health(_: web.Request) -> web.Response:
        loaded = time.monotonic() - began >= load_seconds
        return web.json_response(
            {"status": "OK" if loaded else "LOADING"}, status=200 if loaded else 503
        )

    application = web.Application()
    application.add_routes([web.post("/text-to-speech", run), web.get("/health", health)])
    return application


def main() -> None:
    """Run until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    options = parser.parse_args()
    made = app(options.seconds, options.load_seconds)
    web.run_app(made, host="127.0.0.1", port=options.port, print=None)


if __name__ == "__main__":
    main()
