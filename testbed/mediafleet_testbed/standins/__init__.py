"""Light stand-ins for software that cannot run here: they play its wire protocol, not its work.

`python -m mediafleet_testbed.standins.egress | node | gateway`. Each is held to the wire facts by
a contract test, since a lenient one would make every other test green on a product that does not
work.
"""
