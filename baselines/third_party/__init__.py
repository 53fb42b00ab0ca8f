"""Optimizers of other packages, in one adapter file each. All follow the contract of `addax.optimizer`."""
