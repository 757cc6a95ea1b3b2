"""What workers say they did: the logs of all containers of a namespace, read as they are written.

A log outlives its pod here, since the file is held open from the start. A line that counts is a
word and the id of a job; its time is the container runtime's.
"""

from __future__ import annotations

import asyncio
import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from tests.kit.watching.verdicts import Job

LOOK_EVERY_SECONDS: Final = 0.1
ACCEPTED: Final = "accepted"
"""The worker has said yes; it may take a while until the job runs."""
STARTED: Final = "started"
FAILED: Final = "failed"
"""It said yes, but the job did not come to run."""
ENDED: Final = ("ended", "idle")
"""Its user ended it, or did not come back for so long that the worker did."""
_CONTAINERS: Final = ("egress", "node")


@dataclass(slots=True)
class _Log:
    """One container's log, which is a file for each start of the container."""

    uid: str
    folder: Path
    starts: int = 0
    file: BinaryIO | None = None
    rest: bytes = b""

    def lines(self) -> Iterator[str]:
        """What has been written since."""
        while True:
            while self.file and (block := self.file.read(1 << 16)):
                *lines, self.rest = (self.rest + block).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            try:
                following = (self.folder / f"{self.starts}.log").open("rb")
            except FileNotFoundError:
                return
            self.close()
            self.file, self.rest, self.starts = following, b"", self.starts + 1

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            self.file.close()


@dataclass(slots=True)
class JobLogs:
    """Follows the logs below a kubelet's folder, as an async context manager."""

    folder: Path
    namespace: str
    starts: Counter[str] = field(default_factory=Counter)
    """How often each id was started, over all pods and containers that ever were."""
    _jobs: dict[tuple[str, str], Job] = field(default_factory=dict)
    _logs: dict[str, list[_Log]] = field(default_factory=dict)
    _seen: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="job-logs")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for log in chain.from_iterable(self._logs.values()):
            log.close()

    @property
    def jobs(self) -> Iterable[Job]:
        """All jobs there ever were."""
        return self._jobs.values()

    def running(self, uid: str) -> list[Job]:
        """The jobs that a pod has now."""
        return [job for job in self._jobs.values() if job.pod_uid == uid and job.ended_at is None]

    def has_ended(self, job_id: str) -> bool:
        """Whether a job came to run, and has ended wherever it did."""
        mine = [job for job in self._jobs.values() if job.job_id == job_id]
        return bool(mine) and all(job.ended_at is not None for job in mine)

    def seen(self, job_id: str) -> asyncio.Event:
        """Set once a worker's log tells of a job."""
        return self._seen[job_id]

    def read(self) -> None:
        """Take in all that has been written since."""
        for pod in self.folder.iterdir():
            # <namespace>_<pod>_<uid>/<container>/<start>.log: kubernetes pkg/kubelet/kuberuntime.
            if pod.name not in self._logs and pod.name.startswith(f"{self.namespace}_"):
                uid = pod.name.rpartition("_")[2]
                self._logs[pod.name] = [_Log(uid, pod / name) for name in _CONTAINERS]
        for log in chain.from_iterable(self._logs.values()):
            for line in log.lines():
                self._take(log.uid, line)

    async def _follow(self) -> None:
        while True:
            self.read()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _take(self, uid: str, line: str) -> None:
        # TIME STREAM TAG TEXT: kubernetes pkg/kubelet/kuberuntime/logs.
        try:
            when, _, _, what, job_id = line.split(" ")
        except ValueError:
            return
        at = datetime.datetime.fromisoformat(when).timestamp()
        key = (uid, job_id)
        if what == STARTED:
            self.starts[job_id] += 1
        if what in (ACCEPTED, STARTED):
            self._jobs.setdefault(key, Job(job_id, uid, at))
            self._seen[job_id].set()
        elif what in ENDED and (job := self._jobs.get(key)):
            self._jobs[key] = Job(job_id, uid, job.started_at, at)
        elif what == FAILED:
            self._jobs.pop(key, None)
