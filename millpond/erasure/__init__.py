"""Right to Forget: take one person's records out of an archive, prove it, and say what was not searched.

Built so far: subjects found by a UTF-8 key or a JSON field, whole records dropped, older object versions purged, a
plain receipt. Not built: the ledger, signatures, suppression while reading. An identifier exists only in a request and,
while matching, in a worker's memory; everything stored, logged or raised holds keyed hashes and numbers.
"""
