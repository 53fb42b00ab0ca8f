"""Configuration of runs: specs, method settings, validation, labels, and fingerprints."""
