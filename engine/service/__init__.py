"""``engine serve``: jobs by ZeroMQ, given to a device process one at a time. Torch is loaded by that process alone."""
