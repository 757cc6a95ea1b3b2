"""Our own minimal messages, generated from `proto/` (`make proto`); nothing here is hand-written."""
