"""Result rows: on disk, as frames, and what they support statistically."""
