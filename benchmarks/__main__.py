"""``python -m benchmarks``: lists benchmarks, and runs some or all of them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import runner


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the benchmarks, and what each measures")
    run = commands.add_parser("run", help="run the named ones, or all")
    run.add_argument("names", nargs="*", metavar="NAME")
    run.add_argument("--scale", type=positive, default=1.0, help="0.01 is a hundredth")
    run.add_argument("--seed", type=int, help="decides the order of the contestants")
    run.add_argument("--output", type=Path, help="a folder for the results")
    return made


def positive(text: str) -> float:
    """Read a positive number."""
    value = float(text)
    if not value > 0:
        raise ValueError
    return value


def run(arguments: argparse.Namespace) -> None:
    """Run benchmarks; each result is a line of JSON on stdout."""
    results = []
    for benchmark in [runner.load(name) for name in runner.chosen(arguments.names)]:
        result = runner.run(benchmark, scale=arguments.scale, seed=arguments.seed)
        sys.stderr.write(f"{runner.report(result)}\n")
        sys.stdout.write(f"{json.dumps(result)}\n")
        results.append(result)
        if arguments.output:
            target = arguments.output / f"{benchmark.name}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"{json.dumps(result, indent=2)}\n", "utf-8")
            page = arguments.output / "results.md"
            page.write_text(runner.table(results), "utf-8")


def main() -> None:
    """Do what the command line says."""
    arguments = parser().parse_args()
    try:
        if arguments.command == "run":
            run(arguments)
        else:
            for name in runner.names():
                sys.stdout.write(f"{name:<14}{runner.load(name).about}\n")
    except runner.BenchmarkError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
