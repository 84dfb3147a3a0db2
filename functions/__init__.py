"""The controllers: one package per Lambda, each with a `handler.py` that parses the event and calls millpond."""
