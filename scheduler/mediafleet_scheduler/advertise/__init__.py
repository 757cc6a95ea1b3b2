"""The advertiser desk: answers GetOrchestrator with the live list of a pool's nodes."""
