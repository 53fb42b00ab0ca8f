"""Figures from result rows: one file a figure, nothing but files under results/ is read."""
