"""Data of a task: sources, splits, examples, and tokenization."""
