"""The cores of the product: rules without I/O, whose tests are measured by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_SCHEDULER: Final = "scheduler/mediafleet_scheduler/core"
CORES: Final = {
    "operator": ("operator/mediafleet_operator/core",),
    "egress": (f"{_SCHEDULER}/egress",),
    "advertise": (f"{_SCHEDULER}/advertise",),
    "scaling": (f"{_SCHEDULER}/scaling",),
    "psrpc": (f"{_SCHEDULER}/psrpc",),
    "workers": (f"{_SCHEDULER}/workers",),
    "community": (f"{_SCHEDULER}/community",),
    "common": ("common/mediafleet_common/api", "common/mediafleet_common/reports"),
}
"""Folders of each."""


def core_of(path: str) -> str | None:
    """The core that a file, by its path from the root, belongs to."""
    for name, folders in CORES.items():
        if any(path.startswith(f"{folder}/") for folder in folders):
            return name
    return None
