"""What node autoscalers read on a pod before they take its node away.

A disruption budget alone does not do: Cluster Autoscaler evicts busy pods' neighbours, and gives a
node up only where each pod may be moved; an idle pod with an emptyDir would hold it for good.
Keys: kubernetes/autoscaler cluster-autoscaler/utils/drain/drain.go (PodSafeToEvictKey),
kubernetes-sigs/karpenter pkg/apis/v1/labels.go (DoNotDisruptAnnotationKey).
"""

from __future__ import annotations

from typing import Final

from mediafleet_operator.manifests.resource import Spec

SAFE_TO_EVICT: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DO_NOT_DISRUPT: Final = "karpenter.sh/do-not-disrupt"


def for_autoscalers(spec: Spec, *, busy: bool) -> dict[str, str | None]:
    """The annotations of a busy or idle pod; `None`: it has none of this key.

    A key that `spec.template` sets is the user's: it is left out.
    """
    wanted = {
        SAFE_TO_EVICT: "false" if busy else "true",
        DO_NOT_DISRUPT: "true" if busy else None,
    }
    own = spec.template.metadata.get("annotations", {})
    return {key: value for key, value in wanted.items() if key not in own}
