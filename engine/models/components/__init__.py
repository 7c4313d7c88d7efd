"""Parts that several networks share; an architecture itself is a file one folder up."""
