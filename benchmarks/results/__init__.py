"""Result rows: on disk, as a frame, and what they support statistically."""
