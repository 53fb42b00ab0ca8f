"""Peak memory predicted without a GPU, and what fits."""
