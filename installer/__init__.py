"""Installs the Krita plugin."""
