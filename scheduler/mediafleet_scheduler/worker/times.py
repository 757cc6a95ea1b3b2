"""Times of a worker: section `worker` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds."""

    input_seconds: float = 60.0
    """An input, of 300 MB at most, that is not there after so long has failed its task."""
    post_seconds: float = 900.0
    """Posting a result has failed after so long. A stream is posted while the runner makes it."""
    post_again_seconds: float = 60.0
    """A result that no broker has taken is posted again for so long, to each that the worker stands
    at: its broker may start anew, or another one take its tasks over."""
    max_pause_seconds: float = 30.0
    """A broker that is away is called again after pauses that grow from 0.5 s up to this."""
    resume_seconds: float = 60.0
    """A worker that drained for a container's end takes tasks again after so long, if it was not
    ended itself: Kubernetes has started that container anew."""
    look_up_seconds: float = 5.0
    """With --addresses: the name is looked up again so often, for brokers that are new."""
    claims_seconds: float = 5.0
    """A runner that has not told its version and hardware after so long is registered without."""
    claims_again_seconds: float = 60.0
    """How often runners are asked for them again: the worker registers anew where one has another
    version or other GPUs, once it has no task."""
