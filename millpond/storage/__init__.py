"""Object stores behind one contract: S3, a local folder, and memory for tests."""
