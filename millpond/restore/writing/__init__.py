"""Records from the archive to target partitions, exactly once, and read back."""
