"""Addresses and names inside a node's network namespace; nothing of it is seen outside."""

from __future__ import annotations

NODE_NAME = "testbed"
NODE_IP = "10.77.0.1"
NODE_NETWORK_LENGTH = 24
DEAD_END = "10.77.0.254"
"""The default route's gateway. Nobody answers there: what leaves the cluster gets nowhere."""

POD_CIDR = "10.78.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
FIRST_SERVICE_IP = "10.96.0.1"
CLUSTER_DOMAIN = "cluster.local"

API_PORT = 6443
ETCD_PORT = 2379
API_SERVER = f"https://{NODE_IP}:{API_PORT}"

PRIVATE_FOLDERS = (
    # Paths that programs use whatever they are told; each node sees an empty one of its own, so
    # that two nodes do not meet there and nothing stays behind.
    "/run/containerd",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
)

MAX_PODS = 250
"""The scale tests that need more use kwok."""
