"""What a stand-in egress worker tells Prometheus, under upstream's names.

Source: livekit/egress pkg/stats/monitor_prom.go, monitor.go (updateLoadRatios).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_testbed.standins.egress_worker import Worker

_WEB: Final = StartEgressRequest(web=livekit.WebEgressRequest().SerializeToString())
_BYTES_OF_GB: Final = 2**30


def exposition(worker: Worker) -> str:
    """Prometheus text."""
    own = f'cluster_id="{worker.cluster_id}",node_id="{worker.node_id}"'
    return "".join(
        f"{name}{{{own}{labels}}} {value}\n" for name, labels, value in sorted(_series(worker))
    )


def _series(worker: Worker) -> Iterator[tuple[str, str, float]]:
    admission = worker.admission
    load = min(1.0, admission.really_used() / admission.cpus)
    # Upstream asks about a web request, whatever the fleet is for.
    accepts = not worker.disabled and admission.can_accept(_WEB, time.monotonic())
    yield "livekit_egress_available", "", int(worker.idle)
    yield "livekit_egress_can_accept_request", "", int(accepts)
    yield "livekit_egress_is_disabled", "", int(worker.disabled)
    yield "livekit_egress_is_terminating", "", int(worker.terminating)
    counts = dict.fromkeys(sorted(worker.metric_types), 0)
    for job in worker.jobs.values():
        counts[job.metric_type] += 1
    for kind, count in counts.items():
        yield "livekit_egress_requests", f',type="{kind}"', count
    for (kind, result), count in worker.results.items():
        labels = f',result="{result}",type="{kind}"'
        yield "livekit_egress_handler_results_total", labels, count
    used_gb = admission.really_used_gb()
    for name in ("cgroup_memory_bytes", "proc_rss_bytes"):
        yield f"livekit_egress_{name}", "", used_gb * _BYTES_OF_GB
    yield "livekit_egress_cgroup_read_success", "", 1
    yield "livekit_egress_pulse_sinks", "", 0
    yield "livekit_egress_would_reject_cgroup", "", 0
    yield "livekit_node_cpu_load", ',node_type="EGRESS"', load
    yield "livekit_load_ratio", ',type="cpu"', load / admission.max_cpu_utilization
    pulse = admission.pulse_clients() / admission.max_pulse_clients
    yield "livekit_load_ratio", ',type="pulse"', pulse
    if admission.memory.max_gb:
        yield "livekit_load_ratio", ',type="memory"', used_gb / admission.memory.max_gb
