"""What a restore will do: which objects, in which versions, become which partitions. Reads no record."""
