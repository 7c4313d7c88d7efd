"""Network architectures, their registry and their checkpoints."""
