"""One frozen, validated model for each verb: flag beats environment beats file beats default.

Only entry points build them; nothing below reads the environment.
"""
