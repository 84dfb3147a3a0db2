"""What a restore came to: proven, put together, shown."""
