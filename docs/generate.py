"""Writes the reference pages that the code itself decides.

``python docs/generate.py [FOLDER]``; a test fails where the pages and the code differ.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import click
from pydantic import AliasChoices, AwareDatetime, BaseModel, SecretStr
from pydantic.fields import FieldInfo

import licences
import nexus_actors
from nexus_actors.analytics.settings import AnalyticsSettings, ReportPlan
from nexus_actors.app import DOMAINS, actors_of
from nexus_actors.cli import cli
from nexus_actors.core.errors import (
    Cancelled,
    NexusError,
    PermanentError,
    Postponed,
    UnknownOutcomeError,
)
from nexus_actors.core.guard import GuardSettings, Place
from nexus_actors.core.keyring import Secret
from nexus_actors.core.settings import CoreSettings, Settings
from nexus_actors.dashboard.settings import DashboardSettings
from nexus_actors.engine.instruments import instruments
from nexus_actors.notifications.settings import ALL as NOTIFICATION_SETTINGS
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.social.settings import SocialSettings
from nexus_actors.video.settings import VideoSettings


PACKAGE: Final = Path(nexus_actors.__file__).parent

HEAD: Final = "% Written by docs/generate.py: change the code, then `make docs`.\n\n"

NULL: Final = "`null`"

#: What a person calls a type.
WORDS: Final = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    SecretStr: "text, never logged",
    NoneType: NULL,
    AwareDatetime: "time in ISO 8601, with its time zone",
    Secret: "text, never logged",
    Any: "any value",
    Place: "host or network",
    ReportPlan: "plans",
}

BOUNDS: Final = (
    ("ge", "at least {}"),
    ("gt", "more than {}"),
    ("le", "at most {}"),
    ("min_length", "length at least {}"),
    ("max_length", "length at most {}"),
)


def main(folder: Path) -> None:
    """Write all pages into *folder*."""
    pages = {
        "settings": settings_page(),
        "actors": actors_page(),
        "errors": errors_page(),
        "command-line": command_line_page(),
        "metrics": metrics_page(),
        "licences": licences_page(),
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(f"{HEAD}{text.strip()}\n", encoding="utf-8")
    (folder.parent / "pypi.md").write_text(pypi_page(), encoding="utf-8")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[" ".join(c.split()).replace("|", r"\|") for c in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


# Settings


def settings_page() -> str:
    """Return every environment variable that is read."""
    return (
        "# Settings\n\n"
        "All settings are environment variables.  They are read when a broker is "
        "made, when a job\nstarts and when `nexus_actors.worker` is imported; no other "
        "import reads them.  Where two\nnames are given, the first wins: a host may "
        "use the second for itself.  An empty variable\ncounts as unset.\n\n"
        "What is *never logged* is a secret, and may be in a file, as Docker, "
        "Kubernetes and systemd\nhand them out: `NEXUS_SECRET_KEY_FILE` names the file "
        "of `NEXUS_SECRET_KEY`, and so on.  Line\nbreaks at its end are cut.  A file "
        "that is missing, unreadable or empty is an error; a\nvariable wins over its "
        "file.  Of a changed file, a process knows when it is started anew.\n\n"
        + settings_section("Engine and storage", CoreSettings)
        + settings_section("Video", VideoSettings)
        + settings_section("Social", SocialSettings)
        + settings_section("Analytics", AnalyticsSettings)
        + settings_section("Platforms", PlatformSettings)
        + "".join(
            settings_section(titled(model), model) for model in NOTIFICATION_SETTINGS
        )
        + settings_section("URLs that users supply", GuardSettings)
        + settings_section("Dashboard", DashboardSettings)
    )


def titled(model: type[Settings]) -> str:
    """Return what the settings of a provider are called."""
    name = model.__name__.removesuffix("Settings")
    return "Notifications" if name == "Notification" else f"Notifications: {name}"


def settings_section(title: str, model: type[Settings]) -> str:
    """Return the table of one settings class."""
    rows = [
        (
            variables(field),
            # unset is no value; what an object has, its meaning says
            re.sub(r"\[\w+\]\(#\w+\)", "object", kind(field)).replace(
                f" or {NULL}", ""
            ),
            default(field),
            field.description or "",
        )
        for field in model.model_fields.values()
    ]
    head = ("variable", "value", "default", "meaning")
    return f"## {title}\n\n{table(head, rows)}\n"


def variables(field: FieldInfo) -> str:
    """Return the names that a setting is read from, in the order of their rank."""
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return ", ".join(f"`{name}`" for name in names)


def default(field: FieldInfo) -> str:
    """Return a field's default; where it is computed, nothing is told of it."""
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "computed"
    value = field.default
    if value is None or value == "":
        return ""
    if isinstance(value, BaseModel):
        return "`{}`"
    if isinstance(value, tuple | frozenset):
        items = value if isinstance(value, tuple) else sorted(value)
        return ", ".join(f"`{item}`" for item in items)
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def kind(field: FieldInfo) -> str:
    """Return the type of a field and its bounds, for people."""
    told = [type_words(field.annotation)]
    for item in field.metadata:
        for name, words in BOUNDS:
            if getattr(item, name, None) is not None:
                told.append(words.format(getattr(item, name)))
        if getattr(item, "pattern", None):
            told.append(f"matching `{item.pattern}`")
    return ", ".join(told)


def type_words(annotation: Any) -> str:
    """Return what a person calls a type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in WORDS:
        words = WORDS[annotation]
    elif origin is Annotated:
        words = type_words(arguments[0])
    elif origin is Literal:
        words = ", ".join(f"`{value}`" for value in arguments)
        words = words if len(arguments) == 1 else f"one of {words}"
    elif origin in {Union, UnionType}:
        words = " or ".join(type_words(a) for a in arguments)
    elif origin in {tuple, frozenset}:
        words = f"list of {type_words(arguments[0])}"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        words = f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    else:
        words = f"object of {type_words(arguments[-1])}" if arguments else NULL
    return words


# Actors


def actors_page() -> str:
    """Return every actor with its arguments and its result."""
    text = (
        "# Actors and messages\n\n"
        "An actor is sent to with `.send(…)`; its arguments are plain JSON.  They are "
        "checked by\n`.send()`, which raises `InvalidRequestError`, and again in the "
        "worker.  The names of the\nprevious system (`videoId` for `video_id`) are "
        "accepted too.\n\n"
    )
    for actor in actors_of():
        module, _, request = actor._request.partition(":")  # noqa: SLF001 - no public name
        models = import_module(module)
        result = request.removesuffix("Request") + "Result"
        text += f"## {actor.actor_name}\n\n{prose(getdoc(actor) or '')}\n\n"
        text += f"Queue: `{actor.queue_name}`.  Import: "
        text += f"`from nexus_actors.{actor.actor_name.split('.')[0]} import "
        text += f"{actor.actor_name.split('.')[1]}`.\n\n"
        arguments, answer = getattr(models, request), getattr(models, result)
        text += "### Arguments\n\n" + "".join(model_sections(arguments, set()))
        text += "### Result\n\n"
        text += "".join(model_sections(answer, set(), with_defaults=False))
    return text


def model_sections(
    model: type[BaseModel], told: set[type], *, with_defaults: bool = True
) -> Iterator[str]:
    """Yield the table of a model, then those of the models in it."""
    told.add(model)
    meanings = attributes(model)
    head: tuple[str, ...] = ("name", "value", "default", "meaning")
    rows: list[tuple[str, ...]] = [
        (
            f"`{public_name(name, field)}`",
            kind(field),
            default(field),
            meanings.get(name, ""),
        )
        for name, field in model.model_fields.items()
    ]
    if not with_defaults:
        head, rows = without_third(head), [without_third(row) for row in rows]
    yield f"#### {model.__name__}\n\n{summary(model)}{table(head, rows)}\n"
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            if inner not in told:
                yield from model_sections(inner, told, with_defaults=with_defaults)


def without_third(row: tuple[str, ...]) -> tuple[str, ...]:
    """Return *row* without its third cell."""
    return row[:2] + row[3:]


def public_name(name: str, field: FieldInfo) -> str:
    """Return the name that a field has in JSON."""
    return field.alias or name


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def summary(model: type) -> str:
    """Return what a class says of itself, without its list of attributes."""
    text = own_doc(model).split("\nAttributes:")[0].strip()
    return f"{prose(text)}\n\n" if text else ""


def own_doc(model: type) -> str:
    """Return a class's docstring; not that of a base."""
    return (getdoc(model) or "") if model.__doc__ else ""


def attributes(model: type) -> dict[str, str]:
    """Read the *Attributes* of a docstring, of bases first."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        listed = own_doc(base).partition("\nAttributes:\n")[2].split("\n\n")[0]
        for name, text in re.findall(
            r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE
        ):
            found[name] = prose(text)
    return found


def prose(text: str) -> str:
    """Return a docstring's markup as Markdown."""
    text = text.replace("``", "`")
    return re.sub(r"`(\w+)_`", r"`\1`", text).strip()


# Errors


@dataclass(frozen=True, slots=True)
class Raised:
    """A code that the source gives to an error, and the message beside it."""

    error: str
    code: str
    message: str


def errors_page() -> str:
    """Return the tree of errors, and every code."""
    for domain in DOMAINS:
        import_module(f"nexus_actors.{domain}.errors")
    errors = list(tree(NexusError))
    raised = sorted(
        {found for path in PACKAGE.rglob("*.py") for found in codes_in(path, errors)},
        key=lambda found: (found.code, found.error, found.message),
    )
    rows = [
        (
            f"`{error.__name__}`",
            parents(error),
            f"`{error.code}`",
            retried(error),
            summary(error).split("\n\n")[0],
        )
        for error in errors
    ]
    return (
        "# Errors\n\n"
        "What fails is told in the same way everywhere: in a job's record, in its "
        "events and on the\ncommand line, as an object with `type`, `code`, `message` "
        "and `retryable`.  Codes do not\nchange between releases; messages may.\n\n"
        "An exception that is none of these has the code `unexpected`, and is tried "
        "again.\n\n"
        f"{table(('class', 'is a', 'code', 'tried again', 'meaning'), rows)}\n"
        "All but those of a domain are names of `nexus_actors`; a domain's are in\n"
        "`nexus_actors.<domain>.errors`.\n\n"
        "## Codes beside the class's own\n\n"
        "`…` stands for what differs from case to case.\n\n"
        + table(
            ("code", "class", "message"),
            [(f"`{r.code}`", f"`{r.error}`", r.message) for r in raised],
        )
    )


def tree(root: type[NexusError]) -> Iterator[type[NexusError]]:
    """Yield *root* and what stands below it."""
    yield root
    for error in root.__subclasses__():
        yield from tree(error)


def parents(error: type[NexusError]) -> str:
    """Return what else an error may be caught as."""
    return ", ".join(f"`{base.__name__}`" for base in error.__bases__)


def retried(error: type[NexusError]) -> str:
    """Return whether the queue tries a job again that failed so."""
    if issubclass(error, PermanentError | UnknownOutcomeError | Cancelled):
        return "no"
    return "later; costs no attempt" if issubclass(error, Postponed) else "yes"


def codes_in(path: Path, errors: list[type[NexusError]]) -> Iterator[Raised]:
    """Yield the codes that a module gives: by ``code=``, or in a table of causes."""
    names = {error.__name__ for error in errors}
    module = ast.parse(path.read_text(encoding="utf-8"))
    texts = texts_by_key(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and name_of(node.func) in names:
            given = [k.value for k in node.keywords if k.arg == "code"]
            message = text_of(node.args[0]) if node.args else ""
            for code in (code for value in given for code in constants(value)):
                yield Raised(name_of(node.func), code, message)
        elif isinstance(node, ast.Tuple) and len(node.elts) > 1:
            error, code_node = (name_of(node.elts[-2]), node.elts[-1])
            for code in constants(code_node) if error in names else ():
                yield Raised(error, code, texts.get(code, ""))


def name_of(node: ast.AST) -> str:
    """Return the name that *node* is, if it is one."""
    return node.id if isinstance(node, ast.Name) else ""


def constants(node: ast.AST) -> list[str]:
    """Return the texts that an expression may be."""
    if isinstance(node, ast.IfExp):
        return constants(node.body) + constants(node.orelse)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return []


def text_of(node: ast.AST) -> str:
    """Return a message as written, with ``…`` for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        text = "".join(text_of(part) or "…" for part in node.values)
    elif isinstance(node, ast.Constant):
        text = str(node.value)
    else:
        text = ""
    return text


def texts_by_key(module: ast.Module) -> dict[str, str]:
    """Return what the module's dictionaries map words to."""
    return {
        key.value: text_of(value)
        for node in ast.walk(module)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


# Metrics


def metrics_page() -> str:
    """Return every metric with its labels."""
    for path in sorted(PACKAGE.rglob("*.py")):  # to import a module declares its own
        if "instruments import" in path.read_text(encoding="utf-8"):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            import_module(".".join(parts))
    sections = (
        (
            "redis",
            "Of the queue",
            "From Redis, and the same from whoever is asked: use `max by`, not `sum`.",
        ),
        (
            "workers",
            "Of worker processes",
            "From the endpoint of a group of workers: use `sum by` over groups.",
        ),
        ("answer", "Of the answer", "By each process that answers."),
    )
    text = (
        "# Metrics\n\n"
        "[Metrics and alerts](../how-to/metrics.md) says where they are told, and what "
        "to look at.\nA label whose values are not listed has the names of queues and "
        "actors, or versions;\nwhat is not in a list is told as `other`.\n\n"
    )
    for source, title, words in sections:
        rows = [
            (
                f"`{name}`",
                type(found).__name__.lower(),
                "; ".join(label_words(*label) for label in found.labels.items()),
                found.meaning,
            )
            for name, found in sorted(instruments.items())
            if found.source == source
        ]
        head = ("name", "type", "labels", "meaning")
        text += f"## {title}\n\n{words}\n\n{table(head, rows)}\n"
    return text


def label_words(name: str, values: Collection[str] | None) -> str:
    """Return a label with its values, if these are known."""
    if values is None:
        return f"`{name}`"
    return f"`{name}`: {', '.join(f'`{value}`' for value in values)}"


# PyPI


def pypi_page() -> str:
    """Return the README as PyPI can show it: links into the repository are text there.

    They become links again once ``project.urls`` has *Source*.
    """
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    source = project["project"].get("urls", {}).get("Source")
    readme = (root / "README.md").read_text(encoding="utf-8")
    link = rf"[\1]({source}/blob/main/\2)" if source else r"\1"
    return re.sub(r"\[([^\]]+)\]\((?!https://)([^)]+)\)", link, readme)


# Licences


def licences_page() -> str:
    """Return every package that may be installed with ours, and its licence."""
    rows = [
        (
            f"`{part.name}`",
            part.licence.replace(" AND ", " and ").replace(" OR ", " or "),
            ", ".join(f"`{extra}`" for extra in part.extras) or "always",
        )
        for part in licences.parts()
    ]
    return (
        "# Licences\n\n"
        "The package itself is under the MIT licence.  What it stands on is listed "
        "here, with the\nextras that install it; what that means for you is told in "
        "[Redistribute it](../explanation/licences.md).\nA licence that is unknown, or "
        "asks for more than these do, fails the build of this page.\n\n"
        + table(("package", "licence", "installed with"), rows)
    )


# Command line


def command_line_page() -> str:
    """Return the help of every command."""
    text = (
        "# Command line\n\n"
        "Results are JSON on stdout and nothing else is; progress, logs and errors go "
        "to stderr.  `doctor`\nand `events` print lines for people unless they are "
        "given `--json`, and `analytics export` prints\nCSV.  Exit codes: 0 done, 1 "
        "the work failed, 2 wrong use.  Every error is one line;\na traceback "
        "is shown after `nexus-actors -v`.\n\n"
        "Without `REDIS_URL` or another `REDIS_…` variable, the commands share a Redis "
        "of their own:\na `redis-server` child that keeps the queue in "
        "`~/.local/state/nexus-actors/redis`.\n\n"
    )
    settings: Any = {**cli.context_settings, "terminal_width": 80}
    whole = click.Context(cli, info_name="nexus-actors", **settings)
    text += help_of(whole)
    return text + "".join(help_below(whole, "##"))


def help_below(context: click.Context, mark: str) -> Iterator[str]:
    """Yield a section for each command below that of *context*."""
    if isinstance(context.command, click.Group):
        for name, command in sorted(context.command.commands.items()):
            below = click.Context(command, info_name=name, parent=context)
            title = below.command_path.partition(" ")[2]
            yield f"\n{mark} {title}\n\n{help_of(below)}"
            yield from help_below(below, f"{mark}#")


def help_of(context: click.Context) -> str:
    """Return what ``--help`` prints."""
    return f"```text\n{context.get_help()}\n```\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "reference")
