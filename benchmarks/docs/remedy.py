"""The text that stands where a table has no rows yet."""


def no_rows(owner: str, study: bool = False) -> str:
    """Return a sentence with the commands that measure and save the rows of a suite or a study.

    >>> no_rows("precision", study=True)
    'No rows yet: to measure and save them, run `python -m benchmarks study precision --save`.'
    """
    sweep = f"python -m benchmarks sweep {owner}", f"python -m benchmarks report {owner} --commit-reference"
    commands = (f"python -m benchmarks study {owner} --save",) if study else sweep
    return f"No rows yet: to measure and save them, run {', then '.join(f'`{text}`' for text in commands)}."
