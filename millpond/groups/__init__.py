"""Where consumer groups stand, kept beside the records. What is written here is in docs/format.md, section 11.5."""
