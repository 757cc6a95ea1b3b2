"""`python -m bench [NAME…]`: print the figures beside their baseline, measured in the same run.

Without a name, those that need neither a cluster nor ten minutes. A bench prints and never fails on
a slow day.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Final

BENCHES: Final = {
    "egress_latency": "StartEgress through the desk, beside upstream's auction",
    "egress_queue": "what full fleets cost: refusals, waiting for a pod, rooms that share",
    "egress_throughput": "StartEgress a second through two desks, and how much a desk adds",
    "egress_cpu": "CPU of a StartEgress over two desks, and of the one that is not granted it",
    "egress_floor": "the same beside processes that pass as many messages on and do nothing else",
    "egress_bursts": "51 StartEgress at once on 10 pods, 1,000 on 50: how soon, how even",
    "egress_running": "whether a StartEgress costs more CPU the more jobs run already",
    "egress_rules": "what the pure rules of a StartEgress cost, by the size of the fleet",
    "egress_ledger": "a ledger of 10,000 jobs: Redis memory a job, how soon a desk has read it",
    "advertise": "GetOrchestrator calls a second, and how soon a file's change is listed",
    "broker": "AI tasks a second through one broker, and how soon a worker hears of one",
    "broker_choice": "how long AI tasks take on uneven workers, beside a first-fit manager",
    "broker_memory": "a broker with 1,000 idle workers, and its memory for a result of 300 MB",
    "placing": "how good the places are: bounds, foresight, late metrics",
    "autoscaling": "the engines through the same scenarios, on virtual time",
    "autoscaling_real": "the engines through one scenario on the real node, beside virtual time",
    "scaler": "KEDA's polls and pushes for 200 ScaledObjects",
    "scaler_kube": "the desks under real KEDA with 200 ScaledObjects, on the real node",
    "list_changes": "500 nodes in a file, 20 sources of 50: how soon changes are told",
    "list_changes_kube": "500 pods of a real API server: how soon twenty changes a second are told",
    "drain_proxy": "what HAProxy before a node costs in latency and CPU",
    "fuzz": "a million arbitrary requests for the advertiser: what breaks, and its memory",
    "floods": "what strangers do to the advertiser's public port: memory, health, gateways",
    "two_tenants": "what one tenant can cost another, attack by attack, on the real node",
    "watching": "following 5,000 pods: CPU and memory of our reflector, beside kopf",
    "operator_burst": "5,000 pods of 50 fleets made at once: Lease, time, memory, restart",
    "api_away": "5 min without the API server: recordings, lists, and what is written after",
    "freshness": "from kubectl scale to the list, on a node of its own",
}
BY_NAME_ONLY: Final = {
    "api_away",
    "autoscaling_real",
    "drain_proxy",
    "freshness",
    "fuzz",
    "list_changes_kube",
    "operator_burst",
    "scaler_kube",
    "two_tenants",
}
"""Some need a node or HAProxy, one takes ten minutes."""


def main() -> int:
    """Run the benches one after the other; 1 if one could not run."""
    lines = "\n".join(f"  {name:17} {what}" for name, what in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=lines,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], metavar="NAME")
    names = parser.parse_args().names or [name for name in BENCHES if name not in BY_NAME_ONLY]
    failed = []
    for name in names:
        print(f"\n== {name}: {BENCHES[name]}", flush=True)
        command = [sys.executable, "-m", f"bench.{name}"]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"could not run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
