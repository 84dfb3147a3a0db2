"""What is measured, each program a process of its own: `python -m tests.bench.programs.NAME BOOTSTRAP TOPIC ...`.

Programs print one JSON line. `millpond` itself is not here: it is measured as its users run it.
"""
