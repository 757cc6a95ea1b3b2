"""Kubernetes quantities: `500m`, `2`, `1.5`, `4Gi`, `512M`, `1e3`.

Source: kubernetes staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import math
import re
from typing import Final

_FORM: Final = re.compile(r"([+-]?[0-9]+\.?[0-9]*|[+-]?\.[0-9]+)([eE][+-]?[0-9]+|[A-Za-z]*)")
_UNITS: Final = {
    "": 1.0,
    **{unit: 10.0**power for unit, power in (("n", -9), ("u", -6), ("m", -3))},
    **{unit: 1000.0 ** (1 + index) for index, unit in enumerate("kMGTPE")},
    **{f"{unit}i": 1024.0 ** (1 + index) for index, unit in enumerate("KMGTPE")},
}


def quantity(value: object) -> float | None:
    """The number that a quantity is (as text, or as a plain number), or `None` if it is none."""
    found = _FORM.fullmatch(str(value))
    if found is None or isinstance(value, bool):
        return None
    number, unit = found.groups()
    if unit in _UNITS:
        amount = float(number) * _UNITS[unit]
    elif unit[1:].lstrip("+-").isdigit():
        amount = float(number + unit)
    else:
        return None
    return amount if math.isfinite(amount) else None
