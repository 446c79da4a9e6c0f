"""The launcher works with any application: its code names no task, table or column of the one in this repository."""

import ast
import re
from pathlib import Path

import jinja2
import pytest

from pipeline.settings import Application
from stack import places
from stack.settings import ROOT

FILES = [path for path in sorted((ROOT / "stack").rglob("*")) if path.suffix in (".py", ".j2", ".js", ".css")]
CONFIG = places.config("embedded")
# Names that the launcher has for things of its own.
COMMANDS = {"predict": "make predict", "validate": "make validate"}
IDENTIFIERS = {"title": "of a section of a report"}


def tasks():
    """Ids as the DAG files give them, as `task_id`, as the first argument, or as that behind the function's name."""
    found = set()
    for dag_id in ("dataops", "mlops"):
        for call in ast.walk(ast.parse((ROOT / "airflow" / "dags" / f"{dag_id}.py").read_text())):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            function = ast.unparse(call.func)
            match [each.value.value for each in call.keywords if each.arg == "task_id"], call.args[0]:
                case [own], _:
                    found.add(own)
                case [], ast.Constant(value=first) if first != dag_id:
                    found |= {first, f"{function}_{first}"}
                case [], ast.Name(id="source"):
                    found |= {f"{function}_{source}" for source in CONFIG["sources"]}
    return found


def tables():
    """Names in the summary, with and without the schema."""
    groups = Application(**CONFIG).tables.values()
    named = {name: table for group in groups for name, table in group.items()}
    return {*named, *named.values(), *(table.rpartition(".")[2] for table in named.values())}


def columns():
    """Those of the source files, without the one that has the name of a setting."""
    return {name for source in CONFIG["sources"].values() for name in source["columns"]} - {"id"}


TASKS, TABLES, COLUMNS = tasks(), tables(), columns()
# These count within a text too, the others are English words and count only by themselves.
DISTINCT = TABLES | {word for word in TASKS | COLUMNS if "_" in word}
WITHIN = re.compile(rf"(?<![a-z])({'|'.join(map(re.escape, sorted(DISTINCT, key=len, reverse=True)))})(?![a-z])", re.I)


def words(name, text):
    """Strings and identifiers of a program or template, without comments and docstrings."""
    match Path(name).suffix:
        case ".py":
            tree = ast.parse(text)
            documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            docstrings = {each.body[0].value for each in ast.walk(tree) if isinstance(each, documented) and each.body
                          and isinstance(each.body[0], ast.Expr)}  # fmt: skip
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                    yield "string", node.value
                for field in ("id", "attr", "arg", "name"):
                    if isinstance(identifier := getattr(node, field, None), str):
                        yield "identifier", identifier
        case ".j2":
            for node in jinja2.Environment().parse(text).find_all(jinja2.nodes.Node):
                if isinstance(node, jinja2.nodes.Const | jinja2.nodes.TemplateData):
                    yield "string", str(node.value if isinstance(node, jinja2.nodes.Const) else node.data)
                for field in ("name", "attr"):
                    if isinstance(identifier := getattr(node, field, None), str):
                        yield "identifier", identifier
        case _:
            yield from (("string", each) for each in re.findall(r"\"([^\"\n]*)\"|`([^`\n]*)`", text) for each in each)
            yield from (("identifier", each) for each in re.findall(r"[A-Za-z][\w-]*", re.sub(r"//.*", "", text)))


def violations(name, text):
    found = set()
    for kind, word in words(name, text):
        allowed = COMMANDS if kind == "string" else COMMANDS | IDENTIFIERS
        found |= set(WITHIN.findall(word)) | ({word} & (TASKS | COLUMNS) - set(allowed))
    return sorted(found)


def test_the_words_of_the_application_are_known():
    assert {"extract_and_load_projects", "validate_tags", "validate_transforms", "transform", "extract_data"} < TASKS
    assert {"optimize", "train", "evaluate", "promote", "publish", "publish_predictions"} < TASKS
    assert {"projects", "tags", "labeled_projects", "predictions", "marts.labeled_projects", "raw.tags"} <= TABLES
    assert {"created_on", "title", "description", "tag"} == COLUMNS


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.py", 'row["title"]', ["title"]),
        ("a.py", "row['tag'], section.title", ["tag"]),
        ("a.py", 'f"select {a} from marts.labeled_projects"', ["marts.labeled_projects"]),
        ("a.py", 'help("a folder with tags.csv"); dict(description=1)', ["description", "tags"]),
        ("a.py", 'result("train"); run.transform; extract_and_load_projects = 1', [
            *("extract_and_load_projects", "train", "transform"),
        ]),
        ("a.py", '"""About tags."""\n# projects\ndef predict():\n    """Title."""\n    "description of it"', []),
        ("a.j2", "{# tags #}<title>{{ results.transform.rows }}</title>{{ a['tag'] }} raw.projects", [
            *("raw.projects", "tag", "transform"),
        ]),
        ("a.js", '// tags\nitem.title = row["title"]; item.min_projects', ["projects", "title"]),
        ("a.css", ".optimize { content: 'x' }", ["optimize"]),
    ],
)  # fmt: skip
def test_words_of_the_application_are_found(name, text, found):
    assert violations(name, text) == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_of_the_launcher_names_a_task_a_table_or_a_column(path):
    assert violations(path.name, path.read_text()) == []
