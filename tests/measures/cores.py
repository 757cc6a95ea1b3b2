"""The cores of the product: rules without I/O, whose tests are measured by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_COMMON: Final = "common/mediafleet_common"
_SCHEDULER: Final = "scheduler/mediafleet_scheduler/core"
CORES: Final = {
    "operator": ("operator/mediafleet_operator/core",),
    "egress": (f"{_SCHEDULER}/egress",),
    "advertise": (f"{_SCHEDULER}/advertise",),
    "scaling": (f"{_SCHEDULER}/scaling",),
    "psrpc": (f"{_SCHEDULER}/psrpc",),
    "workers": (f"{_SCHEDULER}/workers",),
    "community": (f"{_SCHEDULER}/community",),
    "common": tuple(f"{_COMMON}/{each}" for each in ("api", "formats", "reports", "scaling")),
}
"""Folders of each."""
_UNIT: Final = "tests/unit"
TESTS: Final = {
    "operator": (f"{_UNIT}/operator", f"{_UNIT}/egress/test_engine_native.py"),
    "egress": (f"{_UNIT}/egress", f"{_UNIT}/simulate", f"{_UNIT}/scaling/test_demand.py"),
    "advertise": (f"{_UNIT}/advertise", f"{_UNIT}/scaling/test_demand.py"),
    "scaling": (f"{_UNIT}/scaling",),
    "psrpc": (f"{_UNIT}/psrpc",),
    "workers": (f"{_UNIT}/workers",),
    "community": (f"{_UNIT}/community",),
    "common": tuple(
        f"{_UNIT}/{each}"
        for each in (
            *("api", "common/test_address_reach.py", "common/test_bits.py", "common/test_dial.py"),
            *("common/test_formats.py", "common/test_go_yaml.py", "common/test_merged_config.py"),
            *(
                "common/test_grpc_message.py",
                "common/test_readiness.py",
                "common/test_reading.py",
                "cli/test_egress_config.py",
                "scaling",
                "redises",
            ),
            *("advertise/core/test_listing.py", "advertise/core/test_sources.py"),
            *("operator/autoscaling", "operator/manifests", "egress/core/test_resources.py"),
            "directory/test_objects.py",
        )
    ),
}
"""The tests that a change of each core is tried with."""


def core_of(path: str) -> str | None:
    """The core that a file, by its path from the root, belongs to."""
    for name, folders in CORES.items():
        if any(path.startswith(f"{folder}/") for folder in folders):
            return name
    return None
