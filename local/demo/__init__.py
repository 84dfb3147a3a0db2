"""The demo: a shop's topics are backed up, lost, restored and redacted by the deployed system, before one's eyes."""
