"""Predictions in PyMOL's session files: compact, and whole again when the file is opened.

PyMOL itself keeps the first state of a surface, so that a PyMOL without this plugin shows that. All
else is text beside PyMOL's own entries (record.py); the hooks of PyMOL that write and read it are
in hooks.py.
"""
