"""Speed and memory on the CPU; python -m benchmarks.speed."""
