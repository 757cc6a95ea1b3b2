"""What can be wrong with a pod, and what follows from it: one table.

| ailment          | seen as                                   | what the engine does              |
|------------------|-------------------------------------------|-----------------------------------|
| ended            | phase Failed or Succeeded, evicted or not | delete, make anew: each slot at   |
|                  |                                           | most once in RETRY_SECONDS        |
| image pull       | ErrImagePull, ImagePullBackOff, ...       | nothing: kubelet tries again      |
| container config | CreateContainerConfigError, ...           | nothing: kubelet tries again      |
| crash loop       | CrashLoopBackOff                          | nothing: kubelet restarts it      |
| node ended       | go-livepeer exited with 0, not Ready      | nothing: it is not done; kubelet  |
|                  |                                           | restarts it with back-off         |
| unschedulable    | PodScheduled false                        | nothing: the scheduler tries      |
| disabled         | livekit_egress_is_disabled is 1           | nothing: it ends once it is idle; |
|                  |                                           | else it is replaced (roster.py)   |
| node lost        | gone or silent for LOST_AFTER_SECONDS     | another pod in another slot; this |
|                  |                                           | one counts again if it comes back |
| quota, admission | the API server refuses a pod              | one try at a time, with back-off  |

Where kubelet or scheduler try again by themselves, a pod made anew would only start their
back-off over: a hot loop. Such a pod is the first to leave in a scale-down, and is replaced at
once when the template changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import Reason
from mediafleet_operator.core.fleet.model import PodView, Refusal

RETRY_SECONDS: Final = 30.0
"""A pod that ended by itself is made anew at most so often."""
LOST_AFTER_SECONDS: Final = 30.0
"""Beyond Kubernetes' own grace (about 50 s) before it calls a node not ready."""
REFUSAL_BACKOFF_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
TAKEN_SECONDS: Final = 60.0
"""How long a slot is left alone when a foreign pod has its name."""

_WAITING: Final = {
    "ErrImagePull": Reason.IMAGE_PULL,
    "ImagePullBackOff": Reason.IMAGE_PULL,
    "ErrImageNeverPull": Reason.IMAGE_PULL,
    "InvalidImageName": Reason.IMAGE_PULL,
    "ImageInspectError": Reason.IMAGE_PULL,
    "RegistryUnavailable": Reason.IMAGE_PULL,
    "CreateContainerConfigError": Reason.CONTAINER_CONFIG,
    "CreateContainerError": Reason.CONTAINER_CONFIG,
    "RunContainerError": Reason.CONTAINER_CONFIG,
    "CrashLoopBackOff": Reason.CRASH_LOOP,
}
"""kubelet's words: kubernetes pkg/kubelet/images/types.go and container/sync_result.go."""


@dataclass(frozen=True, slots=True)
class Ailment:
    """What one kind of trouble means."""

    patience_seconds: float
    """How old a pod may get before the trouble is worth a condition."""
    blames_template: bool
    """Counts among the failures that stop a rollout."""
    advice: str


TABLE: Final = {
    Reason.POD_FAILED: Ailment(0, True, "Read its log; it is made anew."),
    Reason.POD_EVICTED: Ailment(0, False, "Give pods a memory request that fits; it is made anew."),
    Reason.IMAGE_PULL: Ailment(10, True, "Correct spec.image, or add an imagePullSecret."),
    Reason.CONTAINER_CONFIG: Ailment(5, True, "Create the Secret or ConfigMap that it names."),
    Reason.CRASH_LOOP: Ailment(0, True, "Read its log with kubectl logs --previous."),
    Reason.NODE_ENDED: Ailment(
        0,
        True,
        "go-livepeer does so when a runner of its -aiModels does not answer for 2 min: start the "
        "runner, or correct its URL. It is restarted with growing pauses.",
    ),
    Reason.UNSCHEDULABLE: Ailment(60, False, "Add nodes, or ask for less in spec.template."),
    Reason.POD_LOST: Ailment(0, False, "Its node is silent; another pod takes its place."),
}


def of_waiting(word: str) -> Reason | None:
    """The ailment of a container's waiting reason; ContainerCreating is none."""
    return _WAITING.get(word)


def lost(pod: PodView, now: float) -> bool:
    """Whether a pod's node has been silent for so long that its place is given away."""
    return pod.node_lost_since is not None and now - pod.node_lost_since >= LOST_AFTER_SECONDS


def diagnose(pod: PodView, now: float) -> Reason | None:
    """What is wrong with a pod, the gravest first; `None` for one that is well or just starts."""
    if lost(pod, now):
        return Reason.POD_LOST
    if pod.over:
        return pod.over
    if pod.ready or pod.deleting:
        return None
    if pod.trouble:
        return pod.trouble
    return Reason.UNSCHEDULABLE if pod.unschedulable_since is not None else None


def reportable_at(pod: PodView, ailment: Reason) -> float:
    """From when on a pod's ailment is worth a condition."""
    since = pod.unschedulable_since if ailment is Reason.UNSCHEDULABLE else pod.created_at
    return (since or pod.created_at) + TABLE[ailment].patience_seconds


def retry_at(refusal: Refusal) -> float:
    """When to ask the API server again."""
    step = min(refusal.attempts, len(REFUSAL_BACKOFF_SECONDS)) - 1
    return refusal.at + REFUSAL_BACKOFF_SECONDS[max(step, 0)]
