"""`python -m gdcert` is the command."""

import os
import sys

from ._gdcert import run


def main() -> None:
    """Runs the command with this process's arguments and exits with its code."""
    if hasattr(os, "register_at_fork"):  # Unix: Python's own handling of a closed pipe and of Ctrl-C makes way
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = run(["gdcert", *sys.argv[1:]])
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
