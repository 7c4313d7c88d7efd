"""Inference and the local colouring service. Importing this package loads neither torch nor OpenCV."""

__version__ = "0.2.0"
"""The one place where the version stands; pyproject.toml reads it, and the installer notes it in the plugin."""
DEFAULT_MODEL = "stenciltorch"
