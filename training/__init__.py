"""Training of the shipped models on openly licensed or own art."""
