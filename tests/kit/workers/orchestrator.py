"""A stock orchestrator as far as it uses an external runner, with its rules for answers.

livepeer/go-livepeer ai/worker/container.go (start), ai/worker/worker.go (answers): JSON of 200,
400, 401, 422 or 500 is read into a type of its own. Any other answer leaves nothing to read: the
handler panics, and what it took of the model's capacity is never given back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import aiohttp

_READ: Final = (200, 400, 401, 422, 500)


class PanicError(Exception):
    """The orchestrator's handler has ended, and its capacity has leaked."""


class Orchestrator:
    """Takes aiModels.json at its start alone."""

    def __init__(self, session: aiohttp.ClientSession, models: Iterable[Mapping[str, Any]]) -> None:
        self._session = session
        self._models = {(each["pipeline"], each["model_id"]): each for each in models}
        self.in_use: Counter[tuple[str, str]] = Counter()
        self.versions: dict[tuple[str, str], str] = {}

    def entry(self, pipeline: str, model: str) -> Mapping[str, Any]:
        """What its file says of a model."""
        return self._models[pipeline, model]

    async def start(self) -> None:
        """Look at each runner once."""
        for target, entry in self._models.items():
            assert (await self._get(entry, "/health"))["status"] == "OK"
            for path in ("/hardware/info", "/version"):
                about = await self._get(entry, path)
                assert (about["pipeline"], about["model_id"]) == target
            self.versions[target] = about["version"]

    async def run(self, pipeline: str, model: str, **how: Any) -> tuple[int, Any]:
        """A gateway's request.

        Raises:
            PanicError: the runner's answer is none that it survives.
        """
        target = (pipeline, model)
        entry = self._models[target]
        if self.in_use[target] >= entry["capacity"]:
            return 503, {"error": {"message": "insufficient capacity"}}
        self.in_use[target] += 1
        url = f"{entry['url']}/{pipeline}"
        async with self._session.post(url, headers=_bearer(entry), **how) as response:
            text = await response.text()
            is_json = "json" in response.headers.get("Content-Type", "")
            if response.status not in _READ or not is_json:
                raise PanicError(f"{response.status}: {text[:200]}")
        self.in_use[target] -= 1
        return response.status, json.loads(text)

    async def _get(self, entry: Mapping[str, Any], path: str) -> Any:
        async with self._session.get(entry["url"] + path, headers=_bearer(entry)) as response:
            assert response.status == 200, await response.text()
            return await response.json()


def _bearer(entry: Mapping[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {entry['token']}"} if "token" in entry else {}
