"""What looking at pages needs: a browser, and axe-core, which says what is hard to use in them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from mediafleet_testbed.errors import TestbedError, ToolError
from mediafleet_testbed.locks import locked
from mediafleet_testbed.paths import cache
from mediafleet_testbed.tools import debian

BROWSER: Final = "chromium"
PROGRAMS: Final = {
    BROWSER: "chromium",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core",
}
"""As tools.recipes.DEBIAN_PROGRAMS."""

AXE_VERSION: Final = "4.14.1"
AXE_SHA512: Final = (
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
"""Of the npm package (MPL 2.0), which is used by tests alone and is not part of this repository."""
_SECONDS: Final = 300


def why_not() -> str | None:
    """One sentence on why this machine cannot look at pages, or `None`."""
    try:
        debian.ensure(PROGRAMS)
        axe()
    except TestbedError as error:
        return str(error)
    return None


def axe() -> Path:
    """The script of axe-core, fetched once.

    Raises:
        ToolError: npm did not bring it, or brought something else.
    """
    script = cache() / f"axe-{AXE_VERSION}.js"
    with locked(cache() / "axe.lock"):
        if not script.exists():
            text = _fetched()
            fresh = script.with_suffix(".new")
            fresh.write_bytes(text)
            fresh.replace(script)
    return script


def _fetched() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            subprocess.run(
                ["npm", "pack", "--silent", f"axe-core@{AXE_VERSION}"],
                cwd=scratch,
                check=True,
                capture_output=True,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ToolError(f"axe-core comes by npm (Node.js), which failed: {error}") from error
        package = Path(scratch) / f"axe-core-{AXE_VERSION}.tgz"
        found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if found != AXE_SHA512:
            raise ToolError(f"axe-core {AXE_VERSION} is not what it was: sha512 {found}")
        with tarfile.open(package) as tar:
            file = tar.extractfile("package/axe.min.js")
            if file is None:
                raise ToolError("axe-core has no axe.min.js")
            return file.read()
