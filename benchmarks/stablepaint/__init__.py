"""StablePaint on held-out art; python -m benchmarks.stablepaint.quality."""
