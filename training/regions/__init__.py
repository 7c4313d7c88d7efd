"""Training of the region colour model: its data, its loss, its measures and its runs."""
