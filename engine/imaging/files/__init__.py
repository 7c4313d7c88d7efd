"""Reading the artist's files and writing pictures."""
