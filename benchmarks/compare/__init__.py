"""Comparisons: a suite built from a model, data, and a list of methods, tuned by one rule (`compare`)."""
