"""Prequential score, seconds and memory of localprop and of rivals, on many streams."""
