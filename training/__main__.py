"""``python -m training``, which is also how ``torchrun`` starts it."""

from training.cli.main import main

if __name__ == "__main__":
    main(prog_name="training")
