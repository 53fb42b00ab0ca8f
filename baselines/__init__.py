"""The methods that Addax is compared with, one file each; all follow the contract of `addax.optimizer`."""
