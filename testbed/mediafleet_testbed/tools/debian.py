"""Debian packages that tests need, installed when they are missing and we may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mediafleet_testbed.errors import CannotRunHereError, ToolError, tail
from mediafleet_testbed.locks import locked
from mediafleet_testbed.paths import cache
from mediafleet_testbed.progress import step
from mediafleet_testbed.tools.recipes import DEBIAN_PROGRAMS

SECONDS_PER_PACKAGE = 3
INSTALL_TIMEOUT_SECONDS = 900


def missing(programs: Mapping[str, str] = DEBIAN_PROGRAMS) -> list[str]:
    """The packages whose programs are not on this machine, each once, sorted."""
    return sorted({package for program, package in programs.items() if not _present(program)})


def ensure(programs: Mapping[str, str] = DEBIAN_PROGRAMS) -> None:
    """Install what is missing; does nothing when all is there.

    Raises:
        CannotRunHereError: something is missing, and we may not install it.
        ToolError: it could not be installed.
    """
    if not missing(programs):
        return
    with locked(cache() / "debian.lock"):
        packages = missing(programs)
        if packages:
            _install(packages)
            left = missing(programs)
            if left:
                log = _log()
                raise ToolError(
                    f"apt-get did not install {', '.join(left)}; see {log}:\n{tail(log)}"
                )


def _present(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _install(packages: list[str]) -> None:
    by_hand = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise CannotRunHereError(
            f"missing: {', '.join(packages)}; install them with your system's tool"
        )
    if os.geteuid() != 0:
        raise CannotRunHereError(f"missing: {', '.join(packages)}; as root: {by_hand}")
    with step(f"installing {', '.join(packages)}", SECONDS_PER_PACKAGE * len(packages)) as waiting:
        # The lists of a fresh machine may be absent or old: refresh them only if it fails without.
        for refresh in (False, True):
            if refresh:
                _apt(["update"])
            if _apt(["install", "-y", "--no-install-recommends", *packages]) == 0:
                break
            waiting.tick()


def _log() -> Path:
    return cache() / "debian.log"


def _apt(arguments: list[str]) -> int:
    # Services of the packages must not start: the node runs its own containerd, in its own place.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    with _log().open("ab") as output:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=INSTALL_TIMEOUT_SECONDS,
            check=False,
        ).returncode
