"""Speed, as ratios measured in one run: `python -m benchmarks.studies.speed scoring|step`."""
