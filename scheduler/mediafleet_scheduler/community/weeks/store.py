"""A store over HTTP, within bounds: remote write, Prometheus' query API, deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import aiohttp

from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_common.serving.logs import printable
from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text
from mediafleet_scheduler.community.weeks import remote_write
from mediafleet_scheduler.core.community.weeks.paths import Paths
from mediafleet_scheduler.core.community.weeks.series import Sample

TIMEOUT_SECONDS: Final = 10.0
_DELETE_SECONDS: Final = 30.0
"""A Prometheus rewrites what it deletes from."""
MOST_ANSWER_BYTES: Final = 16 * 1024 * 1024
_MOST_SAMPLES: Final = 5_000
"""In one request."""
_MOST_SAID_BYTES: Final = 300


class StoreError(Exception):
    """The store does not answer, or not as it should; the text says why."""


class RefusedError(StoreError):
    """The store took a request and refuses what is in it: the same again is refused again."""


class Store:
    """One store."""

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        self._paths = Paths.of(url)
        self._token_file = token_file

    async def write(self, samples: Sequence[Sample]) -> None:
        """Write samples; those that are there already stay as they are.

        Raises:
            RefusedError: some of them are refused; others may be written.
            StoreError: it does not answer.
        """
        refused: RefusedError | None = None
        for start in range(0, len(samples), _MOST_SAMPLES):
            part = remote_write.body(samples[start : start + _MOST_SAMPLES])
            try:
                await self._post(self._paths.write, part, remote_write.HEADERS)
            except RefusedError as error:
                refused = error
        if refused is not None:
            raise refused

    async def query(self, promql: str, start: int, end: int, step: int) -> bytes:
        """The answer to a range query, as it comes; times in Unix seconds.

        Raises:
            StoreError: it does not answer, or too much.
        """
        asked = {"query": promql, "start": start, "end": end, "step": step, "nocache": 1}
        try:
            async with client(reach=OWN_WORD) as session:
                return await fetch(
                    session,
                    f"{self._paths.query}?{urlencode(asked)}",
                    TIMEOUT_SECONDS,
                    MOST_ANSWER_BYTES,
                    headers={"Accept": "application/json", **await self._token()},
                )
        except FetchError as error:
            raise StoreError(printable(error.no_load.detail)) from error

    async def delete(self, selector: str) -> None:
        """Delete all series that a selector names.

        Raises:
            StoreError: it has not.
        """
        form = urlencode({"match[]": selector}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        await self._post(self._paths.delete, form, kind, _DELETE_SECONDS)

    async def _post(
        self, url: str, body: bytes, headers: dict[str, str], seconds: float = TIMEOUT_SECONDS
    ) -> None:
        headers = {**headers, **await self._token()}
        try:
            async with (
                client(reach=OWN_WORD) as session,
                session.post(
                    url,
                    data=body,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=seconds),
                    allow_redirects=False,
                ) as answer,
            ):
                status = answer.status
                said = await answer.content.read(_MOST_SAID_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreError(printable(str(error)) or type(error).__name__) from error
        if status not in (200, 204):
            text = printable(said.decode("utf-8", "replace")).strip()
            # 429 and 5xx are of the moment, 401 to 404 of the way there.
            kind = RefusedError if status in (400, 422) else StoreError
            raise kind(f"HTTP {status}: {text}")

    async def _token(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            text = await asyncio.to_thread(read_small_text, self._token_file, MAX_SECRET_BYTES)
        except OSError as error:
            raise StoreError(f"--store-token-file: {error.strerror}") from error
        return {"Authorization": f"Bearer {text.strip()}"}
