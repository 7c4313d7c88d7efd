"""``python -m engine.cli``: how the plugin and the tests start the engine."""

from engine.cli.main import main

if __name__ == "__main__":
    main(prog_name="engine")
