"""The broker registers its models at orchestrators, and serves the jobs that come of it."""
