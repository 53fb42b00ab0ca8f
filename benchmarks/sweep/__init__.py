"""Sweeps of many runs: the scheduler, workers, executors, and tracking."""
