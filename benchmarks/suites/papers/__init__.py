"""Suites that repeat papers' experiments; each defines `PAPER` and has a small variant, `<name>-tiny`."""
