"""One run: the loop, its batches, counters, and checkpoints."""
