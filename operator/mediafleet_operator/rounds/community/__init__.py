"""CommunityMetrics: their reporters, and what those say."""
