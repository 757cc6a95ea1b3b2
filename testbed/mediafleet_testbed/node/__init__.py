"""A Kubernetes node of plain processes: all that others use of it.

What lies beside this file is how a node is brought up, and nobody else's business.
"""

from .host import program_pid, require_possible, why_not
from .layout import NODE_IP
from .node import UP_TIMEOUT_SECONDS, Node, take_down
from .pki import Authority, kubeconfig
from .supervisor import cgroup_roots

__all__ = [
    "NODE_IP",
    "UP_TIMEOUT_SECONDS",
    "Authority",
    "Node",
    "cgroup_roots",
    "kubeconfig",
    "program_pid",
    "require_possible",
    "take_down",
    "why_not",
]
