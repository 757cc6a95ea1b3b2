"""What an EgressFleet means."""
