"""Image steps on numpy arrays, shared by inference and training."""
