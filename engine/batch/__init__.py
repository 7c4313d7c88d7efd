"""Many drawings through the service: planned, coloured, recorded; a client like any other."""
