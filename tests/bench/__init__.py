"""The benchmark: `python -m tests.bench`. It measures, prints and writes; it never fails on time."""
