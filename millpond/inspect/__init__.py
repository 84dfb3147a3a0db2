"""Looking into an archive: its objects, its records, its snapshots and runs. Nothing here writes."""
