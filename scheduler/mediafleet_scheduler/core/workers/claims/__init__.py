"""What workers say of themselves: claims, of which nothing is proved."""
