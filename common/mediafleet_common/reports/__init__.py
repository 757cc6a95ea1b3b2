"""What desks say of themselves over HTTP, as JSON."""
