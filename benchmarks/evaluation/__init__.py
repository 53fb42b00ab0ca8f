"""Candidate scoring, generation, and metrics."""
