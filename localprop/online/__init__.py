"""Learning rows without tuning: rows to numbers, tasks, a growing network, a score."""
