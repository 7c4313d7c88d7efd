"""The service beside the model; python -m benchmarks.service."""
