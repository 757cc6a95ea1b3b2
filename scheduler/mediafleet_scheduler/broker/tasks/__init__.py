"""The JSON API of tasks, for callers that have no orchestrator: `/v1/tasks`."""
