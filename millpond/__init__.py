"""Millpond keeps Kafka topics safe on S3, brings them back, and makes single people forgettable in them."""
