"""What a stand-in egress worker tells Prometheus, under upstream's names.

Source: livekit/egress pkg/stats/monitor_prom.go, monitor.go (updateLoadRatios).
"""

from __future__ import annotations

import time

from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_testbed.standins.egress_worker import Worker

_WEB = StartEgressRequest(web=livekit.WebEgressRequest().SerializeToString())


def exposition(worker: Worker) -> str:
    """Prometheus text."""
    admission = worker.admission
    own = f'node_id="{worker.node_id}",cluster_id="{worker.cluster_id}"'
    load = min(1.0, admission.really_used() / admission.cpus)
    # Upstream asks about a web request, whatever the fleet is for.
    accepts = not worker.disabled and admission.can_accept(_WEB, time.monotonic())
    lines = [
        f"livekit_egress_available{{{own}}} {int(worker.idle)}",
        f"livekit_egress_can_accept_request{{{own}}} {int(accepts)}",
        f"livekit_egress_is_disabled{{{own}}} {int(worker.disabled)}",
        f"livekit_egress_is_terminating{{{own}}} {int(worker.terminating)}",
        f'livekit_node_cpu_load{{{own},node_type="EGRESS"}} {load}',
        f'livekit_load_ratio{{{own},type="cpu"}} {load / admission.max_cpu_utilization}',
    ]
    ratios = {"pulse": admission.pulse_clients() / admission.max_pulse_clients}
    if admission.memory.max_gb:
        ratios["memory"] = admission.really_used_gb() / admission.memory.max_gb
    lines += [f'livekit_load_ratio{{{own},type="{of}"}} {ratio}' for of, ratio in ratios.items()]
    counts = dict.fromkeys(sorted(worker.metric_types), 0)
    for job in worker.jobs.values():
        counts[job.metric_type] += 1
    lines += [
        f'livekit_egress_requests{{{own},type="{kind}"}} {count}' for kind, count in counts.items()
    ]
    return "\n".join(lines) + "\n"
