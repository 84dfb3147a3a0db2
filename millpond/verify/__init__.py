"""What an archive holds, and whether it holds together."""
