"""What pytest does not collect doctests from."""

# Importing it is its work, and that of the server of `warm` alone.
collect_ignore = ["warm_up.py"]
