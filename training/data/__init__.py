"""Training data: packing, synthesis of linearts, hints and masks."""
