"""The last view in a file, for a desk that is started again while Kubernetes cannot be asked.

The chart lays it in the pod's emptyDir: that outlives the container, which kubelet starts again
without the API server, and not the pod, whose successor cannot be made without it. What is kept is
what desks know of fleets and pods, with names of Secrets and nothing of what is in them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from mediafleet_scheduler.core.egress.views import EgressView, Fleet

_VIEWS: Final = TypeAdapter(EgressView)
_FLEETS: Final = TypeAdapter(Fleet)

_log: Final = logging.getLogger(__name__)


class LastView:
    """One file that holds the last view of all egress fleets."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._texts: dict[str, tuple[Fleet, bytes]] = {}
        """Fleets as they stand in the file, by uid: only what has changed is put into words."""

    def keep(self, view: EgressView) -> None:
        """Write it, whole or not at all; that it cannot be written is only told."""
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_bytes(self._text(view))
            fresh.replace(self._file)
        except OSError as error:
            _log.warning("the fleets are not remembered in %s: %s", self._file, error)

    def _text(self, view: EgressView) -> bytes:
        before, self._texts = self._texts, {}
        parts = (
            b",".join(self._of(fleet, before) for fleet in each)
            for each in (view.fleets, view.native)
        )
        return b'{"fleets":[%b],"native":[%b]}' % tuple(parts)

    def _of(self, fleet: Fleet, before: dict[str, tuple[Fleet, bytes]]) -> bytes:
        known = before.get(fleet.uid)
        if known is None or known[0] is not fleet:
            known = (fleet, _FLEETS.dump_json(fleet, by_alias=True))
        self._texts[fleet.uid] = known
        return known[1]

    def read(self) -> EgressView | None:
        """What was kept last; `None`: nothing, or nothing that this version can read."""
        try:
            return _VIEWS.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s cannot be read: %s", self._file, error)
        except ValidationError as error:
            _log.warning("%s is not of this version: %d errors", self._file, error.error_count())
        return None
