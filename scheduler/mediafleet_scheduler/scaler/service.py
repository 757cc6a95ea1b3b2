"""KEDA's externalscaler.ExternalScaler, answered from the newest snapshot.

Service and messages: kedacore/keda pkg/scalers/externalscaler/externalscaler.proto; what KEDA does
with the answers: pkg/scalers/external_scaler.go and pkg/scaling/executor/scale_scaledobjects.go.
An error makes KEDA keep the replicas; a 0 or a `false` would take them away, so that what is not
known is UNAVAILABLE. What is not known yet is waited for (patience.py).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.wire import scaler_pb2 as wire
from mediafleet_scheduler.core.scaling.trigger import Trigger, TriggerError, parse
from mediafleet_scheduler.core.scaling.wanted import UnknownDemandError, active, wanted
from mediafleet_scheduler.scaler.metrics import ScalerMetrics
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.patience import Patience

SERVICE: Final = "externalscaler.ExternalScaler"
AGAIN_SECONDS: Final = 1.0
"""A pushed `true` is sent again after so long: KEDA drops one that it is not ready for. It costs a
small message, and only while no pod is Ready."""
_NOT_YET: Final = "the fleets are not known yet"
Context = Any
"""grpc.aio.ServicerContext; grpcio has no types."""
Answer = TypeVar("Answer", bound=Message)
Result = TypeVar("Result", bool, int)


class NoFleetError(Exception):
    """There is no fleet of that name here."""


class Scaler:
    """Answers the five calls."""

    def __init__(self, outlook: Outlook, metrics: ScalerMetrics, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._outlook = outlook
        self._metrics = metrics
        self._patience = Patience(outlook.times.wait_seconds)

    async def is_active(self, ref: wire.ScaledObjectRef, context: Context) -> Message:
        """Whether there is anything to do."""

        async def answer() -> wire.IsActiveResponse:
            trigger = _trigger(ref)
            return wire.IsActiveResponse(result=await self._known(active, trigger))

        return await self._answer("IsActive", answer, context)

    async def get_metric_spec(self, ref: wire.ScaledObjectRef, context: Context) -> Message:
        """The target; known from the metadata alone, so that KEDA's fallback can count errors."""

        async def answer() -> wire.GetMetricSpecResponse:
            return _spec(_trigger(ref))

        return await self._answer("GetMetricSpec", answer, context)

    async def get_metrics(self, request: wire.GetMetricsRequest, context: Context) -> Message:
        """Pods wanted, times the target."""

        async def answer() -> wire.GetMetricsResponse:
            trigger = _trigger(request.ref)
            pods = await self._known(wanted, trigger)
            value = wire.MetricValue(name=trigger.metric_name, value_float=pods * trigger.target)
            return wire.GetMetricsResponse(values=[value])

        return await self._answer("GetMetrics", answer, context)

    async def stream_is_active(
        self, ref: wire.ScaledObjectRef, context: Context
    ) -> AsyncIterator[wire.IsActiveResponse]:
        """Says whether there is anything to do: at once, at each change, and `true` again and again
        while no pod is ready. While nothing is known it says nothing."""
        with self._stream("StreamIsActive"):
            trigger = await self._parsed("StreamIsActive", ref, context)
            clock = self._clock.monotonic
            said: bool | None = None
            again_at = math.inf
            while not self._outlook.over:
                now, ready = self._state(trigger)
                if now is not None and (now is not said or clock() >= again_at):
                    said = now
                    again_at = clock() + AGAIN_SECONDS
                    self._metrics.pushes.labels("StreamIsActive").inc()
                    yield wire.IsActiveResponse(result=now)
                    continue
                if not now or ready:
                    again_at = math.inf
                wait = None if again_at == math.inf else again_at - clock()
                await self._outlook.news((trigger.namespace, trigger.fleet), wait)

    async def stream_metric_spec(
        self, ref: wire.ScaledObjectRef, context: Context
    ) -> AsyncIterator[wire.GetMetricSpecResponse]:
        """Says the target at once; it changes with the metadata only, and then KEDA asks anew."""
        with self._stream("StreamMetricSpec"):
            trigger = await self._parsed("StreamMetricSpec", ref, context)
            self._metrics.pushes.labels("StreamMetricSpec").inc()
            yield _spec(trigger)
            while not self._outlook.over:
                await self._outlook.news((trigger.namespace, trigger.fleet))

    async def _known(
        self, of: Callable[[FleetDemand, Trigger], Result], trigger: Trigger
    ) -> Result:
        """What a demand comes to, as soon as it is known.

        Raises:
            NoFleetError, UnknownDemandError: it has not been for too long.
        """
        key = (trigger.namespace, trigger.fleet)
        while True:
            try:
                result = of(self._demand(trigger), trigger)
            except (NoFleetError, UnknownDemandError):
                left = self._patience.left(key, self._clock.monotonic())
                if left <= 0 or self._outlook.over:
                    raise
                await self._outlook.news(key, left)
            else:
                self._patience.known(key)
                return result

    def _state(self, trigger: Trigger) -> tuple[bool | None, bool]:
        """Whether there is anything to do (`None`: unknown), and whether a pod is ready."""
        try:
            demand = self._demand(trigger)
            return active(demand, trigger), demand.ready > 0
        except (UnknownDemandError, NoFleetError, TriggerError):
            return None, False

    def _demand(self, trigger: Trigger) -> FleetDemand:
        demand = self._outlook.get((trigger.namespace, trigger.fleet))
        if not self._outlook.known:
            raise UnknownDemandError(_NOT_YET)
        if demand is None:
            raise NoFleetError(f"fleet {trigger.namespace}/{trigger.fleet} is not served here")
        return demand

    async def _answer(
        self, rpc: str, answer: Callable[[], Awaitable[Answer]], context: Context
    ) -> Answer:
        try:
            answered = await answer()
        except (TriggerError, NoFleetError, UnknownDemandError) as error:
            await self._refuse(rpc, error, context)
        self._metrics.requests.labels(rpc, "OK").inc()
        return answered

    async def _parsed(self, rpc: str, ref: wire.ScaledObjectRef, context: Context) -> Trigger:
        try:
            return _trigger(ref)
        except TriggerError as error:
            await self._refuse(rpc, error, context)

    async def _refuse(self, rpc: str, error: Exception, context: Context) -> NoReturn:
        code = _CODES[type(error)]
        self._metrics.requests.labels(rpc, code.name).inc()
        await context.abort(code, str(error))
        raise AssertionError("abort returned")

    @contextmanager
    def _stream(self, rpc: str) -> Iterator[None]:
        gauge = self._metrics.streams.labels(rpc)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()


_CODES: Final[dict[type[Exception], Any]] = {
    TriggerError: grpc.StatusCode.INVALID_ARGUMENT,
    NoFleetError: grpc.StatusCode.NOT_FOUND,
    UnknownDemandError: grpc.StatusCode.UNAVAILABLE,
}


def _trigger(ref: wire.ScaledObjectRef) -> Trigger:
    return _parsed(frozenset(ref.metadata.items()), ref.namespace)


@lru_cache(maxsize=4096)
def _parsed(metadata: frozenset[tuple[str, str]], namespace: str) -> Trigger:
    """KEDA sends the same metadata with each call."""
    return parse(dict(metadata), namespace)


def _spec(trigger: Trigger) -> wire.GetMetricSpecResponse:
    spec = wire.MetricSpec(name=trigger.metric_name, target_float=trigger.target)
    return wire.GetMetricSpecResponse(specs=[spec])


def _written(message: Message) -> bytes:
    return message.SerializeToString()


def handler(
    outlook: Outlook, metrics: ScalerMetrics, clock: Clock = SYSTEM
) -> grpc.GenericRpcHandler:
    """The gRPC methods, on top of an outlook."""
    scaler = Scaler(outlook, metrics, clock)
    ref, write = wire.ScaledObjectRef.FromString, _written
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "IsActive": unary(scaler.is_active, ref, write),
            "StreamIsActive": stream(scaler.stream_is_active, ref, write),
            "GetMetricSpec": unary(scaler.get_metric_spec, ref, write),
            "GetMetrics": unary(scaler.get_metrics, wire.GetMetricsRequest.FromString, write),
            "StreamMetricSpec": stream(scaler.stream_metric_spec, ref, write),
        },
    )
