"""An independent watcher: what mediafleet did, told by the API server and the workers themselves.

Nothing here asks mediafleet whether it behaved: deletions come from the API server, jobs from the
stand-ins' own logs, and `verdicts` compares the two.
"""
