"""The engine as Krita sees it: found, started, watched, spoken to."""
