"""Live mode in the real Krita; python -m benchmarks.krita.live."""
