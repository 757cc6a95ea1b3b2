"""Real servers to run against, and stand-in workers: what demo, tests and bench share.

Not in the wheel. `toolchain` gets the programs, `node` runs a Kubernetes node from them in a
network namespace of its own, `images` fills that node with container images, `standins` play the
workers that cannot be had here. `python -m mediafleet_testbed --help` is the way in.
"""
