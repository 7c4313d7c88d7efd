"""Scripts that print the numbers quoted anywhere, each by `python -m benchmarks.NAME`; see README.md."""
