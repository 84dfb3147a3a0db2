"""Real Apache Kafka and a local AWS on this machine, for the demo and the tests: no Docker, no system Java or Node.js.

Everything listens on 127.0.0.1 and ends with the process that started it. Nothing here is part of the product, and
nothing of the product but its error types is used here.
"""
