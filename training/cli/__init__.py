"""The command ``training``."""
