"""One round of a CommunityMetrics: its reporter as wanted, and its status as the reporter says."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.api.community_metrics import CommunityMetricsSpec, CommunityMetricsStatus
from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.api.reading import UnreadableObjectError, read_spec
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import ConflictError, GoneError, KubeError, RefusedError
from mediafleet_common.kube.watch import Away, Changed, Hidden, Listed, News
from mediafleet_common.probes.http_client import FetchError
from mediafleet_common.reports.community import CommunityReport
from mediafleet_operator.core.community import Observed, status
from mediafleet_operator.core.fleet.model import FleetKey, Unmade
from mediafleet_operator.kube import paths
from mediafleet_operator.kube.children import ChildMap, ChildNotOursError, Children
from mediafleet_operator.kube.report import rendered, without
from mediafleet_operator.manifests.children import reporter, senders
from mediafleet_operator.manifests.sharing import Sharing
from mediafleet_operator.rounds.community.reports import Ask
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.queue import KeyedQueue

_log: Final = logging.getLogger(__name__)
LOOK_SECONDS: Final = 15.0
"""Between two looks at what a reporter says: it tells a new hour once an hour."""
LABEL: Final = "community"
"""Value of the label kind of metrics."""


@dataclass(slots=True)
class _State:
    uid: str
    children: ChildMap = field(default_factory=dict)


@dataclass(slots=True)
class CommunityRounds:
    """All CommunityMetrics."""

    api: Api
    children: Children
    ask: Ask
    metrics: OperatorMetrics
    clock: Clock = SYSTEM
    queue: KeyedQueue[FleetKey] = field(default_factory=KeyedQueue)
    _found: dict[FleetKey, Sharing] = field(default_factory=dict)
    _states: dict[FleetKey, _State] = field(default_factory=dict)
    _away: bool = False

    def take(self, news: News) -> None:
        """Take in one piece of news."""
        self._away = self._away and isinstance(news, Hidden | Away)
        match news:
            case Changed():
                self._changed(news.raw, deleted=news.deleted)
            case Listed():
                uids = {str(raw["metadata"]["uid"]) for raw in news.raws}
                gone = [
                    key
                    for key, each in self._found.items()
                    # A list from before it was made does not take it away.
                    if each.uid not in uids and int(each.resource_version) <= news.version
                ]
                for key in gone:
                    self._forget(key)
                for raw in news.raws:
                    self._changed(raw, deleted=False)
            case Hidden() | Away() if not self._away:
                self._away = True
                _log.warning("community metrics are not looked after: %s", news.reason)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            key = await self.queue.take()
            try:
                await self.round(key)
            except KubeError as error:
                # A conflict is everyday: the resource changed meanwhile.
                level = logging.DEBUG if isinstance(error, ConflictError) else logging.WARNING
                _log.log(level, "%s: %s", key, error)
                self.metrics.failed(LABEL, error.word)
            except Exception:  # noqa: BLE001 -- it must not stop the others
                _log.exception("%s: unexpected", key)
                self.metrics.failed(LABEL, "unexpected")
            finally:
                self.queue.done(key)

    async def round(self, key: FleetKey) -> None:
        """Bring one in order, as far as can be now.

        Raises:
            KubeError: something could not be written; the key is looked at again.
        """
        sharing = self._found.get(key)
        if sharing is None or sharing.deleting:
            # What we made goes with it.
            self._states.pop(key, None)
            return
        self.queue.add_after(key, LOOK_SECONDS)
        state = self._states.get(key)
        if state is None or state.uid != sharing.uid:
            state = self._states[key] = _State(sharing.uid)
        unmade = await self._keep(sharing, state)
        report, why = await self._asked(sharing)
        seen = Observed(
            spec=sharing.spec,
            generation=sharing.generation,
            now=self.clock.unix(),
            report=report,
            why=why,
            unmade=unmade,
            sender_missing=sharing.spec.sends
            and senders.image(sharing.spec, self.children.product) is None,
        )
        await self._write(sharing, status(seen, sharing.status))

    async def _keep(self, sharing: Sharing, state: _State) -> Unmade | None:
        """Make what is missing; why something could not be made."""
        refused: Unmade | None = None
        for manifest in reporter.manifests(sharing, self.children.product):
            try:
                await self.children.keep_one(sharing, state.children, manifest)
            except ChildNotOursError as error:
                self.metrics.failed(LABEL, "not_ours")
                refused = refused or Unmade(Reason.CHILD_NOT_OURS, str(error))
            except RefusedError as error:
                self.metrics.failed(LABEL, error.word)
                name = f"{manifest['kind']} {manifest['metadata']['name']}"
                refused = refused or Unmade(Reason.PART_REFUSED, f"{name}: {error}")
        return refused

    async def _asked(self, sharing: Sharing) -> tuple[CommunityReport | None, str]:
        try:
            return await self.ask(sharing.key), ""
        except FetchError as error:
            return None, error.no_load.detail

    async def _write(self, sharing: Sharing, new: CommunityMetricsStatus) -> None:
        old, wanted = rendered(sharing.status), rendered(new)
        if old == wanted:
            return
        precondition = {"uid": sharing.uid, "resourceVersion": sharing.resource_version}
        body: Json = {"metadata": precondition, "status": without(old, wanted)}
        try:
            answer = await self.api.patch(paths.fleet(sharing.key, "status"), body)
        except GoneError:
            return
        self._changed(answer, deleted=False)

    def _changed(self, raw: Json, *, deleted: bool) -> None:
        meta = raw["metadata"]
        key = FleetKey(Kind.COMMUNITY_METRICS, meta["namespace"], meta["name"])
        known = self._found.get(key)
        if deleted:
            # Late word of one that was deleted before says nothing of its successor.
            if known and known.uid == meta["uid"]:
                self._forget(key)
            return
        try:
            read = sharing_of(raw)
        except UnreadableObjectError as error:
            _log.error("%s is left as it is: %s", key, error)
            self.metrics.failed(LABEL, "unreadable")
            return
        if known and _older(read, known):
            return
        self._found[key] = read
        if known is None or (known.uid, known.generation) != (read.uid, read.generation):
            self.queue.add(key)

    def _forget(self, key: FleetKey) -> None:
        self._found.pop(key, None)
        self._states.pop(key, None)


def _older(one: Sharing, other: Sharing) -> bool:
    return int(one.resource_version) < int(other.resource_version)


def sharing_of(raw: Json) -> Sharing:
    """A CommunityMetrics.

    Raises:
        UnreadableObjectError: its spec is not of this operator's version.
    """
    meta = raw["metadata"]
    try:
        said = CommunityMetricsStatus.model_validate(raw.get("status") or {}, extra="ignore")
    except ValueError:
        # Another version's: it is written anew in any case.
        said = None
    return Sharing(
        key=FleetKey(Kind.COMMUNITY_METRICS, meta["namespace"], meta["name"]),
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        spec=read_spec(CommunityMetricsSpec, raw.get("spec") or {}),
        status=said,
    )
