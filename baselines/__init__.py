"""The methods Addax is compared with: one file each, all with the contract of `addax.optimizer`."""
