"""A named state of the whole cluster: ends of topics and offsets of groups. docs/format.md, section 11.8."""
