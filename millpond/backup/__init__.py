"""Topics to windows on the object store: assignment, positions, windows, confirmation, upload, commit."""
