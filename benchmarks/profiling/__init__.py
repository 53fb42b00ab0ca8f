"""Measurement: peak memory, synchronized time, provenance, and out-of-memory errors."""
