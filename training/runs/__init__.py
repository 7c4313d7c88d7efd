"""A training run in its folder, whatever the recipe: settings, loop, checkpoints, processes, memory."""
