"""Many runs: scheduling, workers, executors, and tracking."""
