"""``python -m kmq`` and the console script ``kmq``."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from kmq.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
