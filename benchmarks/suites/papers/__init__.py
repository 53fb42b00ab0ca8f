"""Suites that repeat the experiments of papers; each binds `PAPER` and has a small variant, `<name>-tiny`."""
