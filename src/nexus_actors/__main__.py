"""``python -m nexus_actors`` is the `nexus-actors` command."""

import sys


def main() -> None:
    """Run the command; Ctrl-C ends it quietly also while it is being loaded."""
    try:
        from nexus_actors.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
