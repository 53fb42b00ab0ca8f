"""Suites: one file a table or figure, each with `specs() -> list[RunSpec]`."""
