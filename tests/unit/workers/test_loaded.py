"""What a broker loads, of what it may not need."""

from __future__ import annotations

import subprocess
import sys


def test_a_broker_alone_does_not_load_what_redis_and_a_scaler_need() -> None:
    told = (
        "import sys, mediafleet_scheduler.broker.serve;"
        "print(len({'redis', 'grpc'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", told]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=120)
    assert done.stdout == "0\n"
