"""Predictions of peak memory that need no GPU, and searches for the largest batch and L_T that fit."""
