"""Fused loops for the CPU: the same laws as compiled by XLA, one pass over the weights per hop."""
