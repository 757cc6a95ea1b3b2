"""Says which generated files are not in step with what they are generated from."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs import generate  # noqa: E402

from mediafleet_common.api import crds  # noqa: E402

WIRE: Final = Path("mediafleet_common/wire")


def protos() -> list[str]:
    """Generated messages that differ from what proto/ says now."""
    with tempfile.TemporaryDirectory() as scratch:
        sources = sorted(str(path) for path in (ROOT / "proto" / WIRE).glob("*.proto"))
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"),
                *(f"--python_out={scratch}", f"--mypy_out=quiet:{scratch}", *sources),
            ],
            check=True,
        )
        fresh = {path.name: path.read_bytes() for path in (Path(scratch) / WIRE).iterdir()}
    committed = {
        path.name: path.read_bytes() for path in (ROOT / "common" / WIRE).glob("*_pb2.py*")
    }
    return [
        f"common/{WIRE}/{name}: run `make proto`"
        for name in sorted(fresh.keys() | committed.keys())
        if fresh.get(name) != committed.get(name)
    ]


def resources() -> list[str]:
    """CRDs that differ from what the models say now."""
    return [
        f"{directory}/{name}: run `make crds`"
        for directory in ("crds", "charts/mediafleet-crds/templates")
        for name, text in crds.render().items()
        if not (ROOT / directory / name).is_file()
        or (ROOT / directory / name).read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Print what drifted; exit status."""
    drifted = protos() + resources() + generate.drifted()
    print("\n".join(drifted) or "everything generated is in step")
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main())
