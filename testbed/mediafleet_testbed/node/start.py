"""Bring a node up: folders, network, credentials, configuration, then the supervisor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet_testbed.node import configs, host, layout, programs
from mediafleet_testbed.node.readiness import wait_ready
from mediafleet_testbed.progress import step

if TYPE_CHECKING:
    from mediafleet_testbed.paths import Instance

USUAL_SECONDS = 7


def start(instance: Instance, tools: dict[str, Path], timeout_seconds: float) -> None:
    with step(f"starting node {instance.name}", USUAL_SECONDS) as waiting:
        shutil.rmtree(instance.logs, ignore_errors=True)
        instance.logs.mkdir(parents=True)
        host.make_run_folder(instance)
        host.make_network(instance)
        programs.write_credentials(instance)
        configs.write_all(instance)
        spec = {
            "cgroup": instance.cgroup,
            "private": list(layout.PRIVATE_FOLDERS),
            "pids": str(instance.run / "pids"),
            "stopped": str(instance.run / "stopped"),
            "programs": [
                program.as_json(instance.log(program.name))
                for program in programs.node_programs(instance, tools)
            ],
        }
        _supervise(instance, spec)
        wait_ready(instance, timeout_seconds, waiting.tick)


def _supervise(instance: Instance, spec: dict[str, Any]) -> None:
    """Start the supervisor as the first process of new PID and mount namespaces."""
    path = instance.run / "spec.json"
    path.write_text(json.dumps(spec, indent=1))
    command = ["nsenter", f"--net={instance.netns_path}", "unshare", "--mount"]
    command += ["--propagation", "private", "--pid", "--fork", "--kill-child=KILL"]
    command += [sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")), str(path)]
    path_variable = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
    with instance.log("supervisor").open("wb") as output:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
            # Only what the programs need: nothing of the caller's settings shall reach them.
            env={"PATH": path_variable, "HOME": "/root"},
        )
