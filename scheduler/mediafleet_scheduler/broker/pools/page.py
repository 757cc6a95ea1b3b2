"""What the broker's page shows: `/ui/` on its HTTP port."""

from __future__ import annotations

from collections.abc import Iterable

from mediafleet_scheduler.broker.jobs import Jobs
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.core.workers.pages.workers import workers_page


def page_text(jobs: Jobs, models: Iterable[ModelEntry]) -> bytes:
    """Models and workers, as JSON of common.reports.pages.workers.WorkersPage."""
    page = workers_page(jobs.dispatcher, {each.target for each in models}, jobs.now())
    return page.model_dump_json(by_alias=False).encode()
