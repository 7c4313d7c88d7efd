"""Features learnt from art without labels, and what they are good for."""
