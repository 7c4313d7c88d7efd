"""What is trained and how: one recipe per model."""
