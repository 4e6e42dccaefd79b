"""``python -m kmq`` and the console script ``kmq``."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    import signal

    from kmq.cli import run

    # Being told to end is an interrupt: what is half done is cleared away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())


if __name__ == "__main__":
    main()
