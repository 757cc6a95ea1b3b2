"""Commands that go on running: the operator and the desks."""
