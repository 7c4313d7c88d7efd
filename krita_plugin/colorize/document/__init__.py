"""The artist's document: what is read of it and what is put into it."""
