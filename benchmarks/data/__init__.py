"""Rows of a task, and the same rows as tokens."""
