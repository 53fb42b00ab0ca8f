"""Micro-benchmarks, each with rows, a table, and a figure."""
