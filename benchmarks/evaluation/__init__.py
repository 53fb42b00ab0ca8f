"""Evaluation: candidate scoring, generation, and metrics."""
