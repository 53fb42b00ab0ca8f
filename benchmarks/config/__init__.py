"""What defines a run: its spec, the methods by name, and what is refused."""
