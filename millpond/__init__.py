"""Millpond keeps Kafka topics safe on S3, brings them back, and makes single people forgettable in them."""

__version__ = "0.1.0"
