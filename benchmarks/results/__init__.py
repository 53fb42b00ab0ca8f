"""Result rows: files, frames, and statistics."""
