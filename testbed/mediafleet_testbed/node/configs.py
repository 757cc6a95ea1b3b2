"""The configuration files of the node's programs. Each odd setting says what fails without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from mediafleet_testbed.images import PAUSE_IMAGE
from mediafleet_testbed.node.layout import (
    CLUSTER_DOMAIN,
    MAX_PODS,
    NODE_IP,
    NODE_NAME,
    POD_CIDR,
)
from mediafleet_testbed.paths import Instance

CNI_PLUGINS = Path("/usr/lib/cni")
ON_CGROUP_V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def write_all(instance: Instance) -> None:
    """Write every file a program of the node reads, certificates apart."""
    run = instance.run
    (run / "cni").mkdir(parents=True, exist_ok=True)
    files = {
        "containerd.toml": containerd(instance),
        "janitor.toml": janitor(instance),
        "cni/10-testbed.conflist": json.dumps(cni(instance), indent=2),
        "audit.yaml": yaml.safe_dump(audit_policy()),
        "kubelet.yaml": yaml.safe_dump(kubelet(instance)),
        "kube-proxy.yaml": yaml.safe_dump(kube_proxy(instance)),
        "Corefile": corefile(instance),
        "resolv.conf": resolv_conf("default"),
    }
    for name, text in files.items():
        (run / name).write_text(text)


def containerd(instance: Instance) -> str:
    run = instance.run
    return f"""version = 2
root = "{instance.containerd_root}"
state = "{run}/containerd"
# CRI and images are all we use; the others only cost start-up time.
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{instance.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without it runc dies with "pipe EOF" where lowering the OOM score is refused.
  restrict_oom_score_adj = true
  disable_apparmor = true
  # Under our own folder instead of /run/netns, so that nothing of it outlives the node.
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{run}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def janitor(instance: Instance) -> str:
    """containerd on the same store without CRI: see `containerd_start`."""
    return f"""version = 2
root = "{instance.containerd_root}"
state = "{instance.run}/janitor"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{instance.run}/janitor.sock"
"""


def cni(instance: Instance) -> dict[str, Any]:
    """Point-to-point links instead of a bridge: answers of a Service then always pass the node's
    address translation, on kernels with and without br_netfilter."""
    ipam = {
        "type": "host-local",
        "dataDir": f"{instance.run}/ipam",
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "testbed",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def audit_policy() -> dict[str, Any]:
    """Who asked for which pod to be deleted, when, and on what conditions; what ServiceAccounts ask
    for, those of Kubernetes itself apart; and when a binding of rights came or went. Nothing
    else."""
    deletes = {
        "level": "Request",
        "verbs": ["delete", "deletecollection"],
        "resources": [{"group": "", "resources": ["pods"]}],
    }
    bindings = {
        "level": "Metadata",
        "verbs": ["create", "delete", "deletecollection"],
        "resources": [
            {
                "group": "rbac.authorization.k8s.io",
                "resources": ["rolebindings", "clusterrolebindings"],
            }
        ],
    }
    accounts = "system:serviceaccounts"
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            deletes,
            bindings,
            {"level": "None", "userGroups": [f"{accounts}:kube-system"]},
            {"level": "Metadata", "userGroups": [accounts]},
            {"level": "None"},
        ],
    }


def kubelet(instance: Instance) -> dict[str, Any]:
    run = instance.run
    nothing = dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available"), "0%")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{run}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{run}/pki/kubelet.crt",
        "tlsPrivateKeyFile": f"{run}/pki/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{instance.containerd_socket}",
        "clusterDNS": [NODE_IP],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": f"{run}/resolv.conf",
        "podLogsDir": f"{run}/pod-logs",
        "volumePluginDir": f"{run}/volume-plugins",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{instance.cgroup}/pods",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        # It would look for the block device of a file system that has none.
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        # Tests kill containers over and over; the usual back-off would make them wait for hours.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
        # A full disk of the machine is no reason to evict: nothing here is pulled or kept.
        "evictionHard": nothing,
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "maxPods": MAX_PODS,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
        "healthzBindAddress": "127.0.0.1",
    }


def kube_proxy(instance: Instance) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        # Else it waits half a minute for the API to tell it.
        "bindAddress": NODE_IP,
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_CIDR,
        "clientConnection": {"kubeconfig": f"{instance.run}/kube-proxy.kubeconfig"},
        # The limits belong to the machine, not to a network namespace; they cannot be set here.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "iptables": {"minSyncPeriod": "100ms"},
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
    }


def corefile(instance: Instance) -> str:
    """Cluster names only: there is no way out of the namespace to ask for others."""
    return f"""{CLUSTER_DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {NODE_IP}
    errors
    ready 127.0.0.1:8181
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {instance.run}/coredns.kubeconfig
        pods insecure
        ttl 5
    }}
    loadbalance
}}
"""


def resolv_conf(namespace: str) -> str:
    """What `exec` puts in the place of /etc/resolv.conf, so that cluster names resolve there."""
    searches = " ".join(f"{part}{CLUSTER_DOMAIN}" for part in (f"{namespace}.svc.", "svc.", ""))
    return f"nameserver {NODE_IP}\nsearch {searches}\noptions ndots:5\n"
