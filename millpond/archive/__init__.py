"""The archive format: names, Avro objects, digests, gap markers, and coverage from a listing.

Nothing here talks to Kafka; the object store is a parameter. `docs/format.md` is the specification.
"""
