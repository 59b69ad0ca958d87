"""`python -m minicaffe` is the command `minicaffe`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
