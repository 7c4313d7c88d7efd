"""Inference and the local colouring service. Importing this package loads neither torch nor OpenCV."""

__version__ = "0.1.0"
DEFAULT_MODEL = "stenciltorch"
