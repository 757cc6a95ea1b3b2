"""Steps that several layers share: run a tool outside, compile Python, gather shared libraries."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet_testbed.namespaces import outside_prefix

from ..errors import ImageError, tail
from ..paths import cache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .packing import LayerWriter

STEP_TIMEOUT_SECONDS = 900


def compile_python(folder: Path, seen_as: str) -> None:
    """Byte code beside every source, never checked against it: thirty starts share two cores."""
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode"]
    command += ["unchecked-hash", "-s", str(folder), "-p", seen_as, str(folder)]
    run(command, "compile")


def add_libraries(layer: LayerWriter, programs: Iterable[Path], own: Path | None = None) -> None:
    """The shared libraries the programs need; those under `own` come along by themselves."""
    asked = ["ldd", *[str(program) for program in programs]]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout
    for found in set(re.findall(r"(?:=>\s+)?(/\S+) \(0x", said)):
        path = Path(found)
        if own is not None and path.resolve().is_relative_to(own.resolve()):
            continue
        system = found.startswith(("/lib", "/usr/lib"))
        place = found if system else f"/usr/lib/{path.name}"
        # /lib is a link in the image: a file under it would replace the link.
        layer.file(place if place.startswith("/usr") else f"/usr{place}", path.resolve(), 0o755)


def run(command: list[str], name: str, *, folder: Path | None = None) -> None:
    """A step with its log; outside of the node's network, which has no way to a package index."""
    log = cache() / "logs" / f"image-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        code = subprocess.run(
            [*outside_prefix(), *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=STEP_TIMEOUT_SECONDS,
            check=False,
        ).returncode
    if code != 0:
        raise ImageError(f"{name} for an image failed; the log is {log}, its end:\n{tail(log)}")
