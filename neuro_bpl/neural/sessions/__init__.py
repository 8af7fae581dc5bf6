"""Recorded sessions: their form, and the files that they are read from and written to."""
