"""Who may register as a worker and post results."""
