"""Krita starts and quits; for the template home."""


def scenario(t):
    yield 0.5
    t.note("seen")
