"""`python -m rapbot` is `rapbot`."""

from rapbot.cli import main

if __name__ == "__main__":
    main()
