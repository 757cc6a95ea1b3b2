"""Takes uPlot, which draws the charts of the pages: `python -m docs.uplot`.

Fetches the npm package (MIT) and writes its script, style and licence beside the pages.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

VERSION: Final = "1.6.32"
ASSETS: Final = Path(__file__).resolve().parent.parent / "common/mediafleet_common/pages/assets"
FILES: Final = {
    "package/dist/uPlot.iife.min.js": "uplot.js",
    "package/dist/uPlot.min.css": "uplot.css",
    "package/LICENSE": "uplot.LICENSE",
}


def main() -> None:
    """Write the files."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["npm", "pack", "--silent", f"uplot@{VERSION}"]
        subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(Path(scratch) / f"uplot-{VERSION}.tgz") as tar:
            for name, target in FILES.items():
                file = tar.extractfile(name) or sys.exit(f"no {name}")
                (ASSETS / target).write_bytes(file.read())


if __name__ == "__main__":
    main()
