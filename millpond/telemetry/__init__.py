"""What a running Millpond says of itself."""
