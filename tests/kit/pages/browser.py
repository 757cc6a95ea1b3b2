"""Headless Chromium, driven by its DevTools protocol.

Source: chromium's devtools protocol (Page, Runtime, Emulation, Input, Target), JSON over a
WebSocket, a session for each page (`flatten`).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from mediafleet_testbed.tools.browsing import BROWSER

_START_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 60.0
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "about:blank",
)


class BrowserError(Exception):
    """The browser did not do it."""


@dataclass(eq=False)
class Page:
    """A tab."""

    browser: Browser
    session: str
    trouble: list[str] = field(default_factory=list)
    """What the console or the page's policy complained of."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol; its result."""
        return await self.browser.call(method, parameters, self.session)

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        told = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in told:
            raise BrowserError(str(told["exceptionDetails"]))
        return told["result"].get("value")

    async def go(self, url: str, ready: str = "document.body.dataset.ready === 'yes'") -> None:
        """Open an address, and wait until an expression of the page is true."""
        await self.call("Page.navigate", url=url)
        await self.until(f"document.URL.startsWith({json.dumps(url)}) && ({ready})")

    async def until(self, condition: str, seconds: float = _ANSWER_SECONDS) -> None:
        """Wait until an expression of the page is true.

        Raises:
            TimeoutError: it never was.
        """
        async with asyncio.timeout(seconds):
            while True:
                # A page that is just being opened has no context, or no body yet.
                with suppress(BrowserError):
                    if await self.run(f"Boolean({condition})"):
                        return
                await asyncio.sleep(0.02)

    async def shape(self, width: int, height: int, *, dark: bool = False) -> None:
        """Have a screen of so many pixels, light or dark."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    async def press(self, key: str, code: int) -> None:
        """Press a key that writes no character."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
            )

    async def picture(self, file: Path, *, whole: bool = False) -> None:
        """A screenshot as PNG: of the screen, or the whole page."""
        await self.run("scrollTo(0, 0)")
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        await asyncio.to_thread(_write, file, base64.b64decode(shot["data"]))


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


class Browser:
    """A browser that runs."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def call(
        self, method: str, parameters: dict[str, Any], session: str | None = None
    ) -> dict[str, Any]:
        """A command of the protocol; its result."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json({**message, **({"sessionId": session} if session else {})})
        async with asyncio.timeout(_ANSWER_SECONDS):
            told = await future
        if "error" in told:
            raise BrowserError(f"{method}: {told['error']}")
        result: dict[str, Any] = told["result"]
        return result

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """A tab of its own, without cookies or storage of others."""
        context = (await self.call("Target.createBrowserContext", {}))["browserContextId"]
        wanted = {"url": "about:blank", "browserContextId": context}
        target = (await self.call("Target.createTarget", wanted))["targetId"]
        wanted = {"targetId": target, "flatten": True}
        session = (await self.call("Target.attachToTarget", wanted))["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        try:
            yield page
        finally:
            await self.call("Target.disposeBrowserContext", {"browserContextId": context})
            del self._pages[session]

    async def listen(self) -> None:
        """Take what the browser says, until it ends."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                future = self._waiting.pop(told["id"], None)
                if future is not None and not future.done():
                    future.set_result(told)
            elif (page := self._pages.get(told.get("sessionId", ""))) is not None:
                _note(page, told["method"], told["params"])


def _note(page: Page, method: str, said: dict[str, Any]) -> None:
    if method == "Runtime.exceptionThrown":
        details = said["exceptionDetails"]
        page.trouble.append(str(details.get("exception", {}).get("description", details)))
    elif method == "Log.entryAdded" and said["entry"]["source"] != "network":
        # That a server is away or says no is what some tests are about.
        page.trouble.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Chromium, until left."""
    with tempfile.TemporaryDirectory(prefix="mediafleet-browser-") as profile:
        process = await asyncio.create_subprocess_exec(
            BROWSER,
            *_FLAGS[:-1],
            f"--user-data-dir={profile}",
            _FLAGS[-1],
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        try:
            url = await _url(Path(profile) / "DevToolsActivePort")
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url, max_msg_size=0) as socket,
            ):
                running = Browser(socket)
                listening = asyncio.create_task(running.listen())
                yield running
                await running.call("Browser.close", {})
                await listening
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError, TimeoutError):
                    async with asyncio.timeout(10):
                        await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _url(file: Path) -> str:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            if url := _told(file):
                return url
            await asyncio.sleep(0.05)


def _told(file: Path) -> str | None:
    """The address that the browser has written down; `None`: not yet."""
    lines = file.read_text().split() if file.exists() else []
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else None
