"""Shows a proposal, and writes it as a file of config/applications."""

import json
import os
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.settings import FOLDERS, NAME
from stack import strict_yaml
from stack.applications.profile import Profile
from stack.applications.proposal import Proposal, names
from stack.errors import StackError
from stack.places import APPLICATIONS
from stack.settings import ROOT

# How names begin that PostgreSQL keeps for itself, or smoke runs have.
TAKEN = ("pg", "smoke")
# What YAML takes for the end of a line, or refuses.
UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
# Characters of an example, and labels that are shown.
SHOWN = 40
LABELS = 8


def path_of(name: str) -> Path:
    """The file of a new application.

    Raises:
        StackError: the name is not possible, or there is such a file.
    """
    if not re.fullmatch(NAME.strip("^$"), name) or name.split("_")[0] in TAKEN or name in FOLDERS:
        raise StackError(
            f"NAME={name} is not possible: use up to 40 small letters, digits and _, a letter first, such as "
            f"NAME=tickets, but not {', '.join([*(f'{each}_…' for each in TAKEN), *FOLDERS])}"
        )
    file = APPLICATIONS / f"{name}.yaml"
    if file.exists():
        raise StackError(f"{os.path.relpath(file)} exists: edit it, delete it, or give another NAME")
    return file


def show(found: Proposal, profiles: dict[str, Profile], console: Console) -> None:
    """Print the proposed roles with counts and examples, the checks with what they would refuse today, and warnings."""
    for file, rows in zip(found.sources, found.rows, strict=True):
        console.print(f"\n[bold]{escape(file.name)}[/] {rows:,} rows", highlight=False)
        table = Table("column", "is the", "type", "filled", "different", "such as", box=None, header_style="dim")
        number = found.sources.index(file)
        for name, column in profiles[file.name].columns.items():
            example = "; ".join(
                value if len(value) <= SHOWN else f"{value[:SHOWN]}…" for value in column.examples()[:2]
            )
            kind = found.types[number].get(name, column.type or "other")
            cells = [name, _role(name, found), kind, f"{column.filled:,}", f"{column.distinct:,}", example]
            table.add_row(*(escape(" ".join(cell.split())) for cell in cells))
        console.print(table, highlight=False)
    shown = found.labels.most_common(LABELS)
    told = ", ".join(f"{label} {rows:,}" for label, rows in shown) + (", …" if len(found.labels) > LABELS else "")
    console.print(f"\n[bold]labels[/] {len(found.labels):,}: {escape(told)}", highlight=False)
    console.print("\n[bold]checks[/]", highlight=False)
    for line in _checks(found):
        console.print(f"  {escape(line)}", highlight=False)
    for line in found.refused:
        console.print(f"  [red]today refused:[/] {escape(line)}", highlight=False)
    if not found.refused:
        console.print("  today they refuse nothing", highlight=False)
    for line in found.warnings:
        console.print(f"[yellow]![/] {escape(line)}", highlight=False)


def text(name: str, found: Proposal, profiles: dict[str, Profile]) -> str:
    """The content of the application's file."""
    environment = Environment(  # noqa: S701 - it makes YAML
        loader=PackageLoader("stack.applications", ""), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["yaml"] = _yaml
    sources = [
        {
            "table": table,
            "file": file.name,
            "options": file.options,
            "rows": rows,
            "min_rows": rows // 2,
            "max_rows": rows * 100,
            "columns": {column: _column(column, kind, found) for column, kind in types.items()},
            "ignored": _line(", ".join(sorted(set(profiles[file.name].columns) - set(types)))),
        }
        for file, table, rows, types in zip(found.sources, _tables(found), found.rows, found.types, strict=True)
    ]
    root = found.sources[0].root
    inside = not root.startswith("http") and Path(root).is_relative_to(ROOT)
    return environment.get_template("application.j2").render(
        about=_line(f"Classifies the texts of {names(found.sources)}."),
        name=name,
        source=str(Path(root).relative_to(ROOT)) if inside else root,
        sources=sources,
        roles=found.roles,
        settings=found.settings,
        min_labeled=max(2, found.labelled // 2),
    )


def _tables(found: Proposal) -> list[str]:
    tables = [file.table for file in found.sources]
    # The first one names the tables that are made of both.
    made = (f"labeled_{tables[0]}", f"{tables[0]}_to_predict")
    return tables if len(set(tables)) == len(tables) and tables[-1] not in made else ["texts", "labels"]


def _role(name: str, found: Proposal) -> str:
    roles = found.roles
    named: dict[Any, str] = {roles.id: "id", roles.label: "label", roles.date: "date"}
    named |= {text: f"text {number}" for number, text in enumerate(roles.texts, start=1)}
    return named.get(name, "")


def _column(name: str, kind: str, found: Proposal) -> str:
    return f"{{type: {kind}, required: true}}" if name in found.required else kind


def _checks(found: Proposal) -> list[str]:
    roles, known = found.roles, found.settings["known"]
    required = [*filter(None, [roles.id]), roles.texts[0], *found.required]
    lines = [
        f"{file.name}: {rows // 2:,} to {rows * 100:,} rows"
        for file, rows in zip(found.sources, found.rows, strict=True)
    ]
    lines.append(f"a value in each row: {', '.join(dict.fromkeys(required))}")
    if roles.id:
        lines.append(f"one row for each {roles.id}")
    lines.append(f"{len(known):,} known labels" if known else "any label: there are too many to list the known ones")
    return lines


def _yaml(value: Any) -> str:
    """A value in a form that YAML reads as the same value, whatever it looks like."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_/.][\w/. -]*\w", value, re.ASCII) and not _is_word(value):
        return value
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _is_word(value: str) -> bool:
    """Whether YAML takes a text for another value."""
    return strict_yaml.load(value) != value


def _line(text: str) -> str:
    """A text in one line, for a comment."""
    return "".join(each if each.isprintable() else " " for each in text)
