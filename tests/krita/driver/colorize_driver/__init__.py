"""Test-only Krita plugin: runs the scenario named in the environment and quits. Does nothing in any other Krita."""

import os

if os.environ.get("KTEST_SCENARIO"):
    from krita import Krita

    from .runner import Runner

    Krita.instance().addExtension(Runner(Krita.instance()))
