"""The methods that Addax is compared with, in one file each. All follow the contract of `addax.optimizer`."""
