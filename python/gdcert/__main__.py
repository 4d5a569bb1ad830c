"""`python -m gdcert` is the command."""

import sys

from ._gdcert import run


def main() -> None:
    """Runs the command with this process's arguments and exits with its code."""
    sys.exit(run(["gdcert", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
