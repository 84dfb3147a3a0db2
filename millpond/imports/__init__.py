"""Backups that other tools made, into an archive. Each format has a reader; what is written is ordinary windows.

`docs/import.md` says what is read, and what each format has lost before anything of it comes here.
"""
