"""``python -m nexus_actors`` is the `nexus-actors` command."""

from nexus_actors.cli import main


if __name__ == "__main__":
    main()
