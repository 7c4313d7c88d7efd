"""The command ``engine``; importing this package loads neither torch nor OpenCV."""
