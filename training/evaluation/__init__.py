"""Measures models and baselines on held-out art: metrics, distances, statistics, reports."""
