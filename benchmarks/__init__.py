"""The harness: runs every method on every task and model, and measures what it did."""
