"""Kafka clients with the settings a backup needs, and the few questions asked of a cluster."""
