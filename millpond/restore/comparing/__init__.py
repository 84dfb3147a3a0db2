"""Records held against records: what an archive or a source topic has against what a topic holds now."""
