"""``python -m crossmargin`` is the command ``crossmargin``."""

from crossmargin.cli import main

if __name__ == "__main__":
    main()
