"""Tables and a page from result rows."""
