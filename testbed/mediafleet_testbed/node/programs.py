"""The programs of a node: their command lines, and what each must wait for before it starts."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet_testbed.node.layout import (
    API_PORT,
    API_SERVER,
    CLUSTER_DOMAIN,
    ETCD_PORT,
    FIRST_SERVICE_IP,
    NODE_IP,
    NODE_NAME,
    SERVICE_CIDR,
)
from mediafleet_testbed.node.pki import Authority, kubeconfig

if TYPE_CHECKING:
    from mediafleet_testbed.paths import Instance

CLIENTS = {
    # file name -> user, group
    "admin": ("kubernetes-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", None),
    "kube-scheduler": ("system:kube-scheduler", None),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", None),
    # It only reads; a role of its own would be one more thing to apply before it works.
    "coredns": ("coredns", "system:masters"),
}

CONTAINERD_START = Path(__file__).with_name("containerd_start.py")
API = f"tcp:{NODE_IP}:{API_PORT}"
HPA_SECONDS = "MEDIAFLEET_HPA_SECONDS"
"""Environment variable: how often an HPA looks; 15 s where it is not set, as Kubernetes does."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process the supervisor keeps running.

    `after`: addresses (`tcp:HOST:PORT`, `unix:PATH`) that must accept before it is started.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()

    def as_json(self, log: Path) -> dict[str, Any]:
        return {**asdict(self), "log": str(log)}


def write_credentials(instance: Instance) -> None:
    """Every certificate, key and kubeconfig of the node."""
    authority, front_proxy, accounts = (
        Authority("testbed"),
        Authority("front-proxy"),
        Authority("sa"),
    )
    pki = instance.pki
    authority.pair.write(pki, "ca")
    front_proxy.pair.write(pki, "front-proxy-ca")
    accounts.pair.write(pki, "service-accounts")
    service = f"kubernetes.default.svc.{CLUSTER_DOMAIN}"
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", service, "localhost")
    hosts = (*names, NODE_IP, FIRST_SERVICE_IP, "127.0.0.1")
    authority.issue("kube-apiserver", hosts=hosts).write(pki, "kube-apiserver")
    authority.issue("kubelet", hosts=(NODE_NAME, NODE_IP)).write(pki, "kubelet")
    authority.issue("kubelet-client", group="system:masters").write(pki, "kubelet-client")
    front_proxy.issue("front-proxy-client").write(pki, "front-proxy-client")
    for name, (user, group) in CLIENTS.items():
        client = authority.issue(user, group=group)
        if name == "admin":
            client.write(pki, name)
        target = instance.run / f"{name}.kubeconfig"
        target.touch(mode=0o600)
        target.write_text(kubeconfig(API_SERVER, authority.pair, client))


def node_programs(instance: Instance, tools: dict[str, Path]) -> list[Program]:
    """What a node consists of, in the order of start."""
    run, pki = instance.run, instance.pki

    def program(name: str, *arguments: str, after: tuple[str, ...] = ()) -> Program:
        return Program(name, (str(tools.get(name, name)), *arguments), after)

    etcd = f"http://127.0.0.1:{ETCD_PORT}"
    controllers = f"{run}/kube-controller-manager.kubeconfig"
    containerd_arguments = (
        *(f"{run}/containerd.toml", f"{run}/janitor.toml", f"{run}/janitor.sock"),
        str(instance.containerd_root),
    )
    containerd = f"unix:{instance.containerd_socket}"
    return [
        Program("containerd", (sys.executable, "-I", str(CONTAINERD_START), *containerd_arguments)),
        program(
            "etcd",
            f"--data-dir={run}/etcd",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=default=http://127.0.0.1:2380",
            # It lies in memory and ends with the node: a sync to disk would buy nothing.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
        program(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--advertise-address={NODE_IP}",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/kube-apiserver.crt",
            f"--tls-private-key-file={pki}/kube-apiserver.key",
            f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            f"--service-account-key-file={pki}/service-accounts.crt",
            f"--service-account-signing-key-file={pki}/service-accounts.key",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            # What an aggregated API (KEDA's metrics) needs to trust the requests passed on to it.
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
            f"--proxy-client-key-file={pki}/front-proxy-client.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--audit-policy-file={run}/audit.yaml",
            f"--audit-log-path={instance.log('audit')}",
            # In MiB: in one file, as tests read one.
            "--audit-log-maxsize=4096",
            after=(f"tcp:127.0.0.1:{ETCD_PORT}",),
        ),
        program(
            "kube-controller-manager",
            f"--kubeconfig={controllers}",
            f"--authentication-kubeconfig={controllers}",
            f"--authorization-kubeconfig={controllers}",
            f"--service-account-private-key-file={pki}/service-accounts.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            f"--horizontal-pod-autoscaler-sync-period={os.environ.get(HPA_SECONDS) or 15}s",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            after=(API,),
        ),
        program(
            "kube-scheduler",
            f"--kubeconfig={run}/kube-scheduler.kubeconfig",
            f"--authentication-kubeconfig={run}/kube-scheduler.kubeconfig",
            f"--authorization-kubeconfig={run}/kube-scheduler.kubeconfig",
            "--leader-elect=false",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            after=(API,),
        ),
        program(
            "kubelet",
            f"--config={run}/kubelet.yaml",
            f"--kubeconfig={run}/kubelet.kubeconfig",
            f"--root-dir={run}/kubelet",
            f"--cert-dir={run}/kubelet-pki",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_IP}",
            after=(API, containerd),
        ),
        program("kube-proxy", f"--config={run}/kube-proxy.yaml", after=(API,)),
        program("coredns", f"-conf={run}/Corefile", after=(API,)),
    ]
