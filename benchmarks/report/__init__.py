"""Reports: tables and an HTML page from result rows."""
