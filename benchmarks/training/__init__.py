"""Training of one run: the loop, its batches, counters, and checkpoints."""
