"""Figures: one module per figure, drawn only from files under `results/`."""
