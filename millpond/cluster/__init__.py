"""What a cluster was beside its records: topics, settings, access control. Kept in the archive; see docs/format.md."""
