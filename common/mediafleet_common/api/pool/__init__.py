"""What an OrchestratorPool means."""
