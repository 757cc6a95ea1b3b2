"""What of a pod's words may be kept and logged. Pure.

A pod refuses a bad URL by naming it, and the URL of a stream holds its key. Source: livekit/egress
pkg/errors/errors.go (ErrInvalidUrl).
"""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)(:|%3a)(//|%2f%2f)\S+", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text with nothing left of its URLs but their schemes."""
    return _URL.sub(r"\1://…", text)
