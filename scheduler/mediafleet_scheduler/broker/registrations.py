"""The stream on which a worker registers and hears of its jobs: gRPC over HTTP/2.

Framing: a byte of compression, four of length, the message (grpc/grpc doc/PROTOCOL-HTTP2.md). The
status comes in trailers after headers: a stock worker that finds it in the headers tries again for
ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import struct
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from google.protobuf.message import DecodeError

from mediafleet_common.serving.http2 import Stream, StreamClosedError
from mediafleet_common.serving.logs import printable
from mediafleet_common.wire.ai_worker_pb2 import (
    AIJobData,
    AIRequestType,
    EarlierNotifyAIJob,
    EarlierRegisterRequest,
    NotifyAIJob,
    RegisterAIWorkerRequest,
)
from mediafleet_scheduler.broker.access.secrets import Holder, Secrets
from mediafleet_scheduler.broker.inputs import Inputs
from mediafleet_scheduler.broker.jobs import Input, Jobs
from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.registration import (
    INSTANCE_HEADER,
    MOST_NAME,
    NAME_HEADER,
    Refusal,
    RefusedError,
    Registration,
    worker_of,
)
from mediafleet_scheduler.core.workers.views import Target

PATH: Final = "/net.AIWorker/RegisterAIWorker"
EARLIER_PATH: Final = "/net.Transcoder/RegisterAIWorker"

_MOST_BYTES: Final = 1024 * 1024
_JOBS_AHEAD: Final = 4096
"""Jobs that a worker has not read; it is broken then."""
_TAKE_SECONDS: Final = 60.0
"""For a worker to take a job that is sent. One that reads nothing and stays would have the broker
keep all that is sent to it."""
_UNKNOWN, _INVALID_ARGUMENT, _UNAVAILABLE = 2, 3, 14
_TYPES: Final = {
    Pipeline.TEXT_TO_IMAGE: AIRequestType.TEXT_TO_IMAGE,
    Pipeline.IMAGE_TO_TEXT: AIRequestType.IMAGE_TO_TEXT,
    Pipeline.IMAGE_TO_IMAGE: AIRequestType.IMAGE_TO_IMAGE,
    Pipeline.UPSCALE: AIRequestType.UPSCALE,
    Pipeline.AUDIO_TO_TEXT: AIRequestType.AUDIO_TO_TEXT,
}
"""The types of the earlier form."""

_log: Final = logging.getLogger(__name__)


class _Outlet:
    """Jobs on their way to one worker."""

    def __init__(self, inputs: Inputs, authority: str, *, earlier: bool) -> None:
        self._inputs = inputs
        self._authority = authority
        self._earlier = earlier
        self.messages: Final[asyncio.Queue[bytes | None]] = asyncio.Queue(_JOBS_AHEAD)
        """`None`: the worker is gone."""
        self.revoked = False
        """Whether it is turned away, since its secret counts no more."""

    def send(self, attempt: int, target: Target, task: Input) -> None:
        """Send the worker a job. The input's URL is under the name that the worker dialled."""
        url = "" if task.file is None else self._inputs.offer(task.file, self._authority)
        request = json.dumps({"input_url": url, "request": task.request}, separators=(",", ":"))
        if self._earlier:
            kind = _TYPES[target.pipeline]
            job = EarlierNotifyAIJob(type=kind, task_id=attempt, data=request.encode())
            self.messages.put_nowait(job.SerializeToString())
            return
        data = AIJobData(pipeline=target.pipeline.value, request_data=request.encode())
        self.messages.put_nowait(NotifyAIJob(ai_job_data=data, task_id=attempt).SerializeToString())

    def end(self) -> None:
        """Nothing is passed on any more: the stream has ended."""
        while not self.messages.empty():
            self.messages.get_nowait()
        self.messages.put_nowait(None)


class Registrations:
    """Serves RegisterAIWorker, in today's form and the earlier one."""

    def __init__(
        self,
        jobs: Jobs,
        secrets_: Secrets,
        inputs: Inputs,
        metrics: BrokerMetrics,
        within_seconds: float,
    ) -> None:
        self._jobs = jobs
        self._secrets = secrets_
        self._inputs = inputs
        self._metrics = metrics
        self._within_seconds = within_seconds
        self._open: dict[str, tuple[str, Holder, _Outlet]] = {}
        """Workers: the secret of each, whose it was, and its stream."""

    def revoke(self) -> None:
        """Give workers whose secret counts no more nothing, and turn away those that have nothing.
        One that knows a new secret may post what it has, and register again."""
        for worker, (secret, holder, outlet) in self._open.items():
            if outlet.revoked or self._secrets.holder(secret) == holder:
                continue
            self._jobs.drain(worker)
            if not self._jobs.dispatcher.load(worker):
                outlet.revoked = True
                outlet.end()

    async def serve(self, stream: Stream) -> None:
        """One worker, as long as it stays."""
        earlier = stream.path == EARLIER_PATH
        try:
            async with asyncio.timeout(self._within_seconds):
                registration, secret, holder = await self._read(stream, earlier=earlier)
            name = f"{stream.peer}/{secrets.token_hex(4)}"
            spoken = frozenset(_TYPES if earlier else Pipeline)
            claimed = worker_of(_named(registration, stream), name, stream.peer, spoken)
            worker = replace(claimed, known_as=holder.name)
        except RefusedError as error:
            _log.warning("%s may not register: %s", stream.peer, error)
            self._metrics.refused.labels(error.refusal.name.lower()).inc()
            _end(stream, _UNKNOWN, str(error))
            return
        except (TimeoutError, DecodeError, struct.error, UnicodeDecodeError) as error:
            said = printable(str(error)) or type(error).__name__
            _log.warning("%s sent no registration: %s", stream.peer, said)
            self._metrics.refused.labels("unreadable").inc()
            _end(stream, _INVALID_ARGUMENT, "not a registration")
            return
        _begin(stream)
        outlet = _Outlet(self._inputs, stream.headers.get(":authority", ""), earlier=earlier)
        models = ", ".join(f"{target} x{offer.capacity}" for target, offer in worker.offers.items())
        who = f"{worker.id} of {worker.known_as}" if worker.known_as else worker.id
        _log.info("worker %s offers %s", who, printable(models))
        self._jobs.connected(worker, outlet)
        self._open[worker.id] = (secret, holder, outlet)
        try:
            await self._pass_on(stream, outlet)
        finally:
            del self._open[worker.id]
            _log.info("worker %s is gone", worker.id)
            self._jobs.lost(worker.id)

    async def _read(self, stream: Stream, *, earlier: bool) -> tuple[Registration, str, Holder]:
        body = bytearray()
        async for chunk in stream.body():
            body += chunk
            if len(body) >= 5 and (size := struct.unpack(">BI", body[:5])[1]) > _MOST_BYTES:
                raise DecodeError(f"a registration of {size} bytes")
            if len(body) >= 5 and len(body) >= 5 + size:
                break
        compressed, size = struct.unpack(">BI", bytes(body[:5]))
        if compressed or len(body) < 5 + size:
            raise DecodeError("compressed, or cut off")
        text = bytes(body[5 : 5 + size])
        if earlier:
            old = EarlierRegisterRequest.FromString(text)
            holder = self._holder(old.secret)
            return Registration.of_earlier(old), old.secret, holder
        message = RegisterAIWorkerRequest.FromString(text)
        holder = self._holder(message.secret)
        return Registration.of(message), message.secret, holder

    def _holder(self, secret: str) -> Holder:
        holder = self._secrets.holder(secret)
        if holder is None:
            raise RefusedError(Refusal.SECRET)
        return holder

    async def _pass_on(self, stream: Stream, outlet: _Outlet) -> None:
        stream.on_closed(outlet.end)
        with contextlib.suppress(StreamClosedError):
            while (message := await outlet.messages.get()) is not None:
                try:
                    async with asyncio.timeout(_TAKE_SECONDS):
                        await stream.send(_framed(message))
                except TimeoutError:
                    _log.warning("%s does not take its jobs", stream.peer)
                    _tell(stream, _UNAVAILABLE, "take the jobs")
                    return
            if outlet.revoked:
                _log.warning("%s is turned away: its secret counts no more", stream.peer)
                self._metrics.refused.labels(Refusal.SECRET.name.lower()).inc()
                _tell(stream, _UNAVAILABLE, "the secret has changed: register again")


def _named(registration: Registration, stream: Stream) -> Registration:
    name, instance = (stream.headers.get(each, "") for each in (NAME_HEADER, INSTANCE_HEADER))
    if not name or not instance:
        return registration
    return replace(registration, name=name[:MOST_NAME], instance=instance[:MOST_NAME])


def _framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def _begin(stream: Stream) -> None:
    stream.send_headers([(":status", "200"), ("content-type", "application/grpc")])


def _end(stream: Stream, status: int, words: str) -> None:
    """Turn a worker away: trailers, and not headers alone."""
    _begin(stream)
    _tell(stream, status, words)


def _tell(stream: Stream, status: int, words: str) -> None:
    """Trailers: the stream ends."""
    stream.send_headers(
        [("grpc-status", str(status)), ("grpc-message", quote(words, safe=" ()-:,/"))], end=True
    )
