"""The conditions of a fleet. Each message says what is, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from mediafleet_common.api.container_resources import NEXT_TO_NO_CPU
from mediafleet_common.api.names import Condition, Kind, Reason
from mediafleet_common.api.shared import ConditionStatus, FleetStatus
from mediafleet_common.reports.finding import MAX_MESSAGE_CHARACTERS, Finding, transition_time
from mediafleet_operator.core.drain import leaving
from mediafleet_operator.core.fleet import ailments
from mediafleet_operator.core.fleet.model import Observation, PodView, Reading
from mediafleet_operator.core.plan import Plan

NAMED_PODS: Final = 5
"""So many pods a message names; it has to stay readable."""


def conditions(
    observation: Observation, plan: Plan, previous: FleetStatus | None
) -> list[ConditionStatus]:
    """All conditions; a transition time moves only when the status does."""
    known = {each.type: each for each in previous.conditions} if previous else {}
    result = []
    for name, find in _FINDERS.items():
        finding = find(observation, plan)
        if finding is None:
            continue
        if name is Condition.ADDRESS_READY:
            finding = _as_verified(finding, known)
        before = known.get(name.value)
        written = None if before is None else (before.status, before.last_transition_time)
        result.append(
            ConditionStatus(
                type=name.value,
                status=finding.status,
                observed_generation=observation.fleet.generation,
                last_transition_time=transition_time(finding, written, observation.now),
                reason=finding.reason.value,
                message=finding.message[:MAX_MESSAGE_CHARACTERS],
            )
        )
    # What others say of the fleet (the desks, an autoscaler) is theirs to change.
    ours = {name.value for name in _FINDERS}
    if not observation.fleet.native:
        # The desk that said it looks at the fleet no more.
        ours.add(Condition.MODE_UNSUPPORTED.value)
    found_out = known.get(Condition.REDIS_NOT_ALLOWED.value)
    if found_out is not None and _stays(found_out, observation):
        ours.discard(Condition.REDIS_NOT_ALLOWED.value)
    return result + [each for each in known.values() if each.type not in ours]


def _stays(found_out: ConditionStatus, observation: Observation) -> bool:
    """Whether the desk has said RedisNotAllowed, and looks at the fleet still."""
    fleet = observation.fleet
    of_desk = found_out.reason == Reason.REDIS_OF_OTHERS.value
    return of_desk and fleet.redis_problem is None and not fleet.native


def _as_verified(finding: Finding, known: Mapping[str, ConditionStatus]) -> Finding:
    """That every address is known is not yet that it answers: the advertiser asks."""
    said = known.get(Condition.ADDRESS_VERIFIED.value)
    if finding.status != "True" or said is None or said.status != "False":
        return finding
    return Finding("Unknown", Reason.ADDRESS_UNVERIFIED, said.message)


def _ready(observation: Observation, plan: Plan) -> Finding:
    serving = sum(pod.serving for pod in plan.roster.counted)
    count = f"{serving} of {plan.wanted} pods Ready"
    if serving >= plan.wanted:
        return Finding("True", Reason.AS_WANTED, f"{count}.")
    trouble = _trouble(observation, plan)
    if trouble is not None:
        return Finding("False", trouble.reason, f"{count}. {trouble.message}")
    waiting = [pod for pod in plan.roster.counted if not pod.serving]
    waits = f": waiting for {_names(waiting)} to start" if waiting else ""
    return Finding("False", Reason.WAITING_FOR_PODS, f"{count}{waits}.")


def _progressing(observation: Observation, plan: Plan) -> Finding:
    roster = plan.roster
    updated = sum(pod.template == observation.fleet.template_hash for pod in roster.counted)
    if roster.outdated and plan.rollout_stopped:
        return Finding(
            "False",
            Reason.ROLLOUT_STOPPED,
            f"The rollout stopped at {updated} of {plan.wanted} pods, since new ones fail. Correct "
            "spec.image or spec.template; the change starts it again.",
        )
    if roster.outdated:
        message = f"{len(roster.outdated)} of {plan.wanted} pods are still to be replaced."
        return Finding("True", Reason.ROLLING_OUT, message)
    starting = plan.wanted - sum(pod.serving for pod in roster.counted)
    if starting > 0 and not observation.fleet.paused:
        message = f"{starting} more {'pod has' if starting == 1 else 'pods have'} to become Ready."
        return Finding("True", Reason.SCALING_UP, message)
    return Finding("False", Reason.AS_WANTED, "There are as many pods as wanted.")


def _degraded(observation: Observation, plan: Plan) -> Finding:
    trouble = _exposed(observation, plan) or _trouble(observation, plan)
    trouble = trouble or _uncounted(observation, plan) or _disabled(observation, plan)
    trouble = trouble or _unmade(observation)
    return trouble or Finding("False", Reason.AS_WANTED, "No pod is in trouble.")


def _draining(observation: Observation, plan: Plan) -> Finding:
    draining = plan.roster.draining
    if not draining:
        return Finding("False", Reason.NO_PODS_DRAIN, "No pod drains.")
    fleet = observation.fleet
    late = [
        pod
        for pod in draining
        if pod.drain_started is not None and leaving.times_out_at(pod, fleet) <= observation.now
    ]
    if late:
        message = (
            f"Past spec.drain.timeout: {_names(late)}. They are waited for as "
            f"spec.drain.onTimeout: {fleet.on_timeout.value} says; delete a pod to end the wait."
        )
        return Finding("True", Reason.DRAIN_TIMED_OUT, message)
    unknown = [
        pod for pod in draining if observation.loads.get(pod.uid) and observation.jobs(pod) is None
    ]
    if unknown:
        message = (
            f"The load of {_names(unknown)} cannot be read, so they are not deleted. See whether "
            "their metrics answer."
        )
        return Finding("True", Reason.LOAD_UNKNOWN, message)
    unconfirmed = [pod for pod in draining if _waits_for_livekit(pod, observation)]
    if unconfirmed:
        message = (
            f"Idle, but livekit-server has not yet taken the end of their last jobs: "
            f"{_names(unconfirmed)}. See whether livekit-server and the desk answer."
        )
        return Finding("True", Reason.WAITING_FOR_LIVEKIT, message)
    return Finding("True", Reason.WAITING_FOR_IDLE, f"Waiting until idle: {_names(draining)}.")


def _waits_for_livekit(pod: PodView, observation: Observation) -> bool:
    return (
        pod.drain_started is not None
        and leaving.settled_at(pod, observation.fleet) <= observation.now
        and observation.jobs(pod) == 0
        and not leaving.finished(pod, observation)
    )


def _paused(observation: Observation, plan: Plan) -> Finding:
    del plan
    if observation.fleet.paused:
        message = "Pods are left as they are. Set spec.paused to false to go on."
        return Finding("True", Reason.PAUSED, message)
    return Finding("False", Reason.NOT_PAUSED, "The fleet is looked after.")


def _template_valid(observation: Observation, plan: Plan) -> Finding:
    problem = observation.fleet.template_problem
    if problem is not None:
        return Finding("False", Reason.TEMPLATE_INVALID, problem)
    if observation.fleet.engine_conflict is not None:
        return Finding("False", Reason.ENGINE_CONFLICT, observation.fleet.engine_conflict)
    if plan.refusal is not None and plan.refusal.reason is Reason.TEMPLATE_INVALID:
        return Finding("False", Reason.TEMPLATE_INVALID, plan.refusal.message)
    cpu = observation.fleet.cpu_requested
    hint = "" if cpu is None or cpu >= NEXT_TO_NO_CPU else f" {_NEXT_TO_NO_CPU.format(cpu)}"
    return Finding("True", Reason.TEMPLATE_OK, f"Pods can be made from the template.{hint}")


_NEXT_TO_NO_CPU: Final = (
    "They request {:g} CPUs for their work, so on a full node they wait for all that request more."
)


def _redis_not_allowed(observation: Observation, plan: Plan) -> Finding | None:
    """Only where it is so."""
    del plan
    problem = observation.fleet.redis_problem
    return None if problem is None else Finding("True", Reason.REDIS_NOT_DECLARED, problem)


def _cpu_unknown(observation: Observation, plan: Plan) -> Finding | None:
    del plan
    declared = observation.fleet.cpu_declared
    if declared is None:
        return None
    if declared:
        return Finding("False", Reason.CPU_DECLARED, "It is known how many CPUs a pod has.")
    return Finding(
        "True",
        Reason.CPU_NOT_DECLARED,
        "It is unknown how many CPUs a pod has, so nothing is placed by CPU: requests do not bound "
        "it. Set spec.placement.cpu, or limits.cpu of container egress in spec.template.",
    )


def _grace_short(observation: Observation, plan: Plan) -> Finding | None:
    del plan
    fleet = observation.fleet
    if fleet.grace_seconds is None or fleet.grace_seconds >= fleet.drain_timeout_seconds:
        return None
    return Finding(
        "True",
        Reason.GRACE_BELOW_DRAIN_TIMEOUT,
        f"spec.template.spec.terminationGracePeriodSeconds is {fleet.grace_seconds:g} and "
        f"spec.drain.timeout {fleet.drain_timeout_seconds:g} s: a pod that others delete, by an "
        "eviction or kubectl, loses its work after the shorter. Leave the field out, or shorten "
        "drain.timeout.",
    )


def _costs_differ(observation: Observation, plan: Plan) -> Finding | None:
    """Only where it is so: the desk counts such a pod as it counts itself, others it does not."""
    wanted = observation.fleet.costs
    if wanted is None:
        return None
    differ = {
        pod: names
        for pod in plan.roster.counted
        if pod.config is not None and (names := pod.config.differences(wanted))
    }
    if not differ:
        return None
    pod, names = next(iter(differ.items()))
    assert pod.config is not None
    name = names[0]
    return Finding(
        "True",
        Reason.COUNTED_OTHERWISE,
        f"{_names(differ)} count jobs by other costs than spec.placement: cpu_cost.{name} is "
        f"{pod.config.costs.get(name, 0):g} in {pod.name} and {wanted.get(name, 0):g} there. The "
        "desk counts each pod as it counts itself; pods that are still to be replaced get the new "
        "costs.",
    )


def _address_ready(observation: Observation, plan: Plan) -> Finding | None:
    if observation.fleet.key.kind is not Kind.ORCHESTRATOR_POOL:
        return None
    if plan.refusal is not None and "hostPort" in plan.refusal.message:
        return Finding("False", Reason.HOST_PORT_REFUSED, _HOST_PORTS)
    problems = [pod for pod in plan.roster.counted if pod.address_problem]
    if problems:
        return _unaddressed(problems)
    unknown = [pod for pod in plan.roster.counted if pod.serving and not pod.address]
    if unknown:
        message = f"No address is known of {_names(unknown)}, so they are not listed."
        return Finding("False", Reason.ADDRESS_UNKNOWN, message)
    return Finding("True", Reason.ADDRESS_KNOWN, "Every Ready pod has its address.")


_HOST_PORTS: Final = (
    "The namespace refuses host ports. Label it pod-security.kubernetes.io/enforce: privileged, "
    "or choose another address.type."
)


def _unaddressed(pods: Sequence[PodView]) -> Finding:
    """The gravest of the problems, and how many pods have one."""
    problems = [pod.address_problem for pod in pods if pod.address_problem]
    problem = min(problems, key=lambda each: each.reason is not Reason.ADDRESS_REFUSED)
    message = f"Not listed: {_names(pods)}; {problem.message}."
    return Finding("False", problem.reason, message)


def _scaling_active(observation: Observation, plan: Plan) -> Finding | None:
    del plan
    scaling = observation.scaling
    if scaling is None:
        return None
    if scaling.active:
        # The reckoning moves with every job: it stands in status.autoscaling.why.
        message = f"The number of pods follows demand, by engine {scaling.engine.value}."
        return Finding("True", scaling.reason, message)
    return Finding("False", scaling.reason, scaling.why)


_FINDERS: Final[dict[Condition, Callable[[Observation, Plan], Finding | None]]] = {
    Condition.READY: _ready,
    Condition.PROGRESSING: _progressing,
    Condition.DEGRADED: _degraded,
    Condition.DRAINING: _draining,
    Condition.PAUSED: _paused,
    Condition.TEMPLATE_VALID: _template_valid,
    Condition.REDIS_NOT_ALLOWED: _redis_not_allowed,
    Condition.CPU_UNKNOWN: _cpu_unknown,
    Condition.GRACE_SHORT: _grace_short,
    Condition.COSTS_DIFFER: _costs_differ,
    Condition.ADDRESS_READY: _address_ready,
    Condition.SCALING_ACTIVE: _scaling_active,
}


def _whose_load(
    observation: Observation, plan: Plan, says: Callable[[Reading], bool | None]
) -> list[PodView]:
    """The pods whose last reading says something; those without one do not."""
    pods = plan.roster.counted + plan.roster.draining
    return [pod for pod in pods if (latest := observation.latest(pod)) and says(latest)]


def _exposed(observation: Observation, plan: Plan) -> Finding | None:
    """Nodes whose port that moves money can be reached: graver than any pod that fails."""
    found = _whose_load(observation, plan, lambda reading: reading.cli_exposed)
    if not found:
        return None
    message = (
        f"CliExposed: the CLI port of {_names(found)} moves money and listens on more than "
        "loopback. Take -cliAddr and LP_CLIADDR out of spec.template and the image."
    )
    return Finding("True", Reason.CLI_EXPOSED, message)


def _uncounted(observation: Observation, plan: Plan) -> Finding | None:
    """Nodes that would be taken for idle at work; their load is unknown instead."""
    found = _whose_load(observation, plan, lambda reading: reading.uncounted)
    if not found:
        return None
    message = (
        f"WorkUncounted: {_names(found)} do AI jobs, which load transcode does not count, so their "
        "load is unknown. Set drainProxy: {} and load: requests, or load docker-ai, connections or "
        "url."
    )
    return Finding("True", Reason.WORK_UNCOUNTED, message)


def _disabled(observation: Observation, plan: Plan) -> Finding | None:
    """Pods that take nothing more, by their own word."""
    found = [pod for pod in plan.roster.counted if observation.disabled(pod)]
    if not found:
        return None
    message = (
        f"PodDisabled: {_names(found)} had an internal error, or livekit-server takes no update of "
        "it. It takes no job, and starts anew once it is idle. Its log says which."
    )
    return Finding("True", Reason.POD_DISABLED, message)


def _unmade(observation: Observation) -> Finding | None:
    unmade = observation.memory.unmade
    if unmade is None:
        return None
    return Finding("True", unmade.reason, f"{unmade.reason.value}: {unmade.why}")


def _trouble(observation: Observation, plan: Plan) -> Finding | None:
    """The trouble that most pods have, if any has one that is worth saying."""
    fleet = observation.fleet
    if fleet.redis_problem is not None and len(plan.roster.counted) < plan.wanted:
        return Finding("True", Reason.REDIS_NOT_DECLARED, fleet.redis_problem)
    if fleet.template_problem is not None and len(plan.roster.counted) < plan.wanted:
        return Finding("True", Reason.TEMPLATE_INVALID, fleet.template_problem)
    if fleet.engine_conflict is not None and len(plan.roster.counted) < plan.wanted:
        return Finding("True", Reason.ENGINE_CONFLICT, fleet.engine_conflict)
    if plan.refusal is not None:
        return Finding("True", plan.refusal.reason, plan.refusal.message)
    sick: dict[Reason, list[PodView]] = {}
    for pod in plan.roster.counted + plan.roster.lost:
        ailment = ailments.diagnose(pod, observation.now)
        if ailment and ailments.reportable_at(pod, ailment) <= observation.now:
            sick.setdefault(ailment, []).append(pod)
    if not sick:
        return None
    worst = max(sick, key=lambda each: (len(sick[each]), each.value))
    pods = sick[worst]
    complaint = next((f" ({pod.complaint})" for pod in pods if pod.complaint), "")
    message = f"{worst.value}: {_names(pods)}{complaint}. {ailments.TABLE[worst].advice}"
    return Finding("True", worst, message)


def names_of(names: Sequence[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - NAMED_PODS} more" if len(names) > NAMED_PODS else ""
    return ", ".join(names[:NAMED_PODS]) + more


def _names(pods: Iterable[PodView]) -> str:
    return names_of([pod.name for pod in pods])
