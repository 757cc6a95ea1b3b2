"""Programs that are built or installed for tests and demo."""
