"""``python -m avatar``: the command line."""

from avatar.cli import main

if __name__ == "__main__":
    main()
