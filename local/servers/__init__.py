"""Servers as objects: start, stop, kill, pause; data and port stay the same."""
