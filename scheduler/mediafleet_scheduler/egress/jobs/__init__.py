"""The desk and what becomes of a job: start, sweep, lost jobs."""
