"""Rules of registering models at orchestrators: external capabilities, live runners."""
