"""Records to topics with another number of partitions: which partition takes a record, and writing all of a topic's
partitions at once so that every record is there exactly once.
"""
