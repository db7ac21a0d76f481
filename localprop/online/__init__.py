"""Learning rows without tuning: rows to numbers, tasks, a growing network, a score."""

from .online import Online as Online
