"""What a network is told to get right: colour, content, adversaries, the way back to the lines."""
