"""What a worker declares when it registers: its models, and what their runners say of themselves.

As go-livepeer does (ai/worker/worker.go: GetHardwareInformation, Version; core/capabilities.go):
the version stands at the model, the GPUs beside the capabilities.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Final

import aiohttp

from mediafleet_common.wire.ai_worker_pb2 import GpuComputeInfo, RegisterAIWorkerRequest
from mediafleet_scheduler.core.workers.claims.runner import Claims, gpus_of, least, version_of
from mediafleet_scheduler.core.workers.pipelines import FORMS
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.worker.runners import Runner

_MOST_ANSWER: Final = 64 * 1024
_SILENT: Final = b""


class RunnerClaims:
    """Asks runners what they are. One that does not answer counts as what it said last."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        token: str | None,
        runners: Iterable[Runner],
        seconds: float,
    ) -> None:
        """`seconds`: a runner that has not answered after so long does not."""
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._limit = aiohttp.ClientTimeout(total=seconds)
        self._known = dict.fromkeys(runners, Claims())

    @property
    def known(self) -> Mapping[Runner, Claims]:
        """What they said last."""
        return self._known

    async def ask(self) -> bool:
        """Ask them all at once; whether something is new that a broker should hear."""
        runners = list(self._known)
        told = await asyncio.gather(*(self._ask(each) for each in runners))
        changed = False
        for runner, claims in zip(runners, told, strict=True):
            before = self._known[runner]
            self._known[runner] = now = claims.after(before)
            changed |= now.differs(before)
        return changed

    async def _ask(self, runner: Runner) -> Claims:
        version, hardware = await asyncio.gather(
            self._get(f"{runner.about}/version"), self._get(f"{runner.about}/hardware/info")
        )
        return Claims(version_of(runner.target, version), gpus_of(hardware))

    async def _get(self, url: str) -> bytes:
        body = bytearray()
        try:
            async with self._session.get(
                url, headers=self._headers, timeout=self._limit, allow_redirects=False
            ) as response:
                if response.status != 200:
                    return _SILENT
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MOST_ANSWER:
                        return _SILENT
        except (aiohttp.ClientError, OSError, ValueError):
            return _SILENT
        return bytes(body)


def registration(secret: str, known: Mapping[Runner, Claims]) -> RegisterAIWorkerRequest:
    """What a worker of these runners registers with."""
    message = RegisterAIWorkerRequest(secret=secret)
    by_target: dict[Target, list[tuple[Runner, Claims]]] = {}
    for runner, claims in known.items():
        by_target.setdefault(runner.target, []).append((runner, claims))
    for target, each in by_target.items():
        number = FORMS[target.pipeline].capability
        declared = message.capabilities.constraints.per_capability[number].models[target.model]
        declared.capacity = sum(runner.capacity for runner, _ in each)
        declared.warm = each[-1][0].warm
        declared.runner_version = least(claims.version for _, claims in each) or ""
        for _, claims in each:
            if claims.gpus:
                hardware = message.hardware.add(pipeline=target.pipeline, model_id=target.model)
                for key, gpu in claims.gpus.items():
                    hardware.gpu_info[key].CopyFrom(GpuComputeInfo(**asdict(gpu)))
    return message
