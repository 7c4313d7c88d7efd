"""Measures light: form against closed-form truth and real art, its direction, its speed, and a sheet to look at."""
