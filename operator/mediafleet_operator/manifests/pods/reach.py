"""What a template may not reach unless the administrator allows it.

The operator makes pods for whoever may create a fleet, so a fleet must reach no further than what
Pod Security's level baseline admits, whatever its namespace enforces, and use no account but none.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, level baseline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest


class Reach(StrEnum):
    """What an administrator may allow in templates, by chart value `template.allow`."""

    HOST_NAMESPACES = "host_namespaces"
    """hostNetwork, hostPID, hostIPC."""
    HOST_PATHS = "host_paths"
    """Volumes of type hostPath."""
    HOST_PORTS = "host_ports"
    """hostPort of a container, and the host of a probe or hook, which the kubelet calls."""
    PRIVILEGED = "privileged"
    """Privileged containers, more capabilities, unconfined profiles, sysctls."""
    SERVICE_ACCOUNTS = "service_accounts"
    """Another account than `default`, and tokens of any."""


@dataclass(frozen=True, slots=True)
class Found:
    """A part of a pod's spec that reaches further."""

    reach: Reach
    field: str
    value: str


_CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX_TYPES: Final = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
_APPARMOR_KEY: Final = "container.apparmor.security.beta.kubernetes.io/"


def refuse(
    base: Manifest,
    merged: Manifest,
    annotations: Manifest,
    allowed: Collection[Reach],
    field: str = "spec.template",
) -> None:
    """Refuse what `merged`, the template laid over `base`, reaches beyond `base`.

    Raises:
        InvalidTemplateError: with the field and who may allow it.
    """
    ours = set(_of_pod(base))
    for found in [*_of_pod(merged), *_of_annotations(annotations)]:
        if found.reach not in allowed and found not in ours:
            raise InvalidTemplateError(
                f"{field}.{found.field}",
                f"is {found.value}, which reaches beyond the pod",
                f"leave it out, or ask your administrator for {found.reach.value} in the chart "
                "value template.allow",
            )


def _of_annotations(annotations: Manifest) -> Iterator[Found]:
    for key, value in annotations.items():
        if key.startswith(_APPARMOR_KEY) and value == "unconfined":
            yield Found(Reach.PRIVILEGED, f"metadata.annotations {key}", value)


def _of_pod(spec: Manifest) -> Iterator[Found]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield Found(Reach.HOST_NAMESPACES, f"spec.{name}", _said(spec[name]))
    yield from _of_account(spec)
    yield from _of_security(_object(spec.get("securityContext")), "spec.securityContext")
    for volume in _objects(spec.get("volumes")):
        yield from _of_volume(volume, f"spec.volumes[{volume.get('name')}]")
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in _objects(spec.get(kind)):
            yield from _of_container(container, f"spec.{kind}[{container.get('name')}]")


def _of_account(spec: Manifest) -> Iterator[Found]:
    for name in ("serviceAccountName", "serviceAccount"):
        if spec.get(name) not in (None, "", "default"):
            yield Found(Reach.SERVICE_ACCOUNTS, f"spec.{name}", _said(spec[name]))
    token = "automountServiceAccountToken"
    # Absent, the account decides, and mounts one by default.
    if spec.get(token) is not False:
        yield Found(Reach.SERVICE_ACCOUNTS, f"spec.{token}", _said(spec.get(token)))


def _of_volume(volume: Manifest, field: str) -> Iterator[Found]:
    if volume.get("hostPath") is not None:
        yield Found(Reach.HOST_PATHS, f"{field}.hostPath", _said(volume["hostPath"]))
    for source in _objects(_object(volume.get("projected")).get("sources")):
        for name in ("serviceAccountToken", "podCertificate"):
            if source.get(name) is not None:
                here = f"{field}.projected.{name}"
                yield Found(Reach.SERVICE_ACCOUNTS, here, _said(source[name]))


def _of_container(container: Manifest, field: str) -> Iterator[Found]:
    for port in _objects(container.get("ports")):
        if port.get("hostPort"):
            here = f"{field}.ports[{port.get('containerPort')}].hostPort"
            yield Found(Reach.HOST_PORTS, here, _said(port["hostPort"]))
    hooks = _object(container.get("lifecycle"))
    probes = [(name, container.get(name)) for name in container if name.endswith("Probe")]
    for name, each in [*probes, *((f"lifecycle.{name}", hooks[name]) for name in hooks)]:
        for call in ("httpGet", "tcpSocket"):
            if host := _object(_object(each).get(call)).get("host"):
                yield Found(Reach.HOST_PORTS, f"{field}.{name}.{call}.host", _said(host))
    context = _object(container.get("securityContext"))
    yield from _of_security(context, f"{field}.securityContext")


def _of_security(context: Manifest, field: str) -> Iterator[Found]:
    """What a securityContext, of a pod or a container, says beyond the level."""
    if context.get("privileged"):
        yield Found(Reach.PRIVILEGED, f"{field}.privileged", _said(context["privileged"]))
    if context.get("procMount") not in (None, "", "Default"):
        yield Found(Reach.PRIVILEGED, f"{field}.procMount", _said(context["procMount"]))
    if _object(context.get("windowsOptions")).get("hostProcess"):
        yield Found(Reach.PRIVILEGED, f"{field}.windowsOptions.hostProcess", "true")
    added = _object(context.get("capabilities")).get("add")
    for name in added if isinstance(added, list) else ():
        if str(name) not in _CAPABILITIES:
            yield Found(Reach.PRIVILEGED, f"{field}.capabilities.add", _said(name))
    yield from _of_profiles(context, field)
    for sysctl in _objects(context.get("sysctls")):
        if sysctl.get("name") not in _SYSCTLS:
            yield Found(Reach.PRIVILEGED, f"{field}.sysctls", _said(sysctl.get("name")))


def _of_profiles(context: Manifest, field: str) -> Iterator[Found]:
    for profile in ("seccompProfile", "appArmorProfile"):
        if _object(context.get(profile)).get("type") == "Unconfined":
            yield Found(Reach.PRIVILEGED, f"{field}.{profile}.type", "Unconfined")
    linux = _object(context.get("seLinuxOptions"))
    if linux.get("user") or linux.get("role") or (linux.get("type") or "") not in _SELINUX_TYPES:
        yield Found(Reach.PRIVILEGED, f"{field}.seLinuxOptions", _said(linux))


def _object(value: Any) -> Manifest:
    """The value, or nothing where it is of another type: the API server refuses such a pod."""
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Manifest]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _said(value: Any) -> str:
    return "absent" if value is None else str(value)[:80]
