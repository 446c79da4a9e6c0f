"""What the bundle's Python files say without being run: imports, absolute paths, connections and variables."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# An absolute path of a machine; `/airflow/xcom` and `/tmp` are in every container.
_PATH = re.compile(r"/(home|root|opt|srv|usr|var|etc|mnt|media|data|work|Users)(/|$)")
# The home of the image of the tasks, and what follows it.
_IN_IMAGE = ("/opt/mlops", "/var/env/")
_GET = {"Variable": "variables", "Connection": "connections", "BaseHook": "connections"}


@dataclass
class Sources:
    """What was found; each value is a list of places, FILE:LINE.

    Attributes:
        errors: why Python cannot read a file, by its place; nothing else of the file is here.
        imports: modules of others by name, of the depth that tells packages apart.
        crossing: modules of dags/ that plugins import.
        paths: absolute paths.
        connections: connections that are asked for by name.
        variables: variables that are asked for by name.
    """

    errors: dict[str, str] = field(default_factory=dict)
    imports: dict[str, list[str]] = field(default_factory=dict)
    crossing: dict[str, list[str]] = field(default_factory=dict)
    paths: dict[str, list[str]] = field(default_factory=dict)
    connections: dict[str, list[str]] = field(default_factory=dict)
    variables: dict[str, list[str]] = field(default_factory=dict)


def read(contents: Mapping[str, bytes]) -> Sources:
    """Read the Python files among the files of a bundle."""
    found = Sources()
    files = {path: text for path, text in contents.items() if path.endswith(".py") and not path.startswith("data/")}
    own = {_module(path).partition(".")[0] for path in files}
    dags = {_module(path).partition(".")[0] for path in files if path.startswith("dags/")}
    for path, content in files.items():
        try:
            tree = ast.parse(content, path)
        # Of a file with null bytes.
        except (SyntaxError, ValueError) as error:
            line, told = (error.lineno or 1, error.msg) if isinstance(error, SyntaxError) else (1, error)
            found.errors[f"{path}:{line}"] = str(told)
            continue
        texts = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
        for node in ast.walk(tree):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            for name in _imported(node):
                if name.partition(".")[0] not in own:
                    found.imports.setdefault(_package(name), []).append(where)
                elif path.startswith("plugins/") and name.partition(".")[0] in dags:
                    found.crossing.setdefault(name, []).append(where)
            # Texts that stand alone are documentation.
            if id(node) not in texts and (text := _path(node)):
                found.paths.setdefault(text, []).append(where)
            for kind, name in _asked(node):
                getattr(found, kind).setdefault(name, []).append(where)
    return found


def _module(path: str) -> str:
    return path.partition("/")[2].removesuffix(".py").replace("/", ".")


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        # `from google.cloud import storage` needs google.cloud.storage.
        yield from (f"{node.module}.{each.name}" for each in node.names if node.module == "google.cloud")
        if node.module != "google.cloud":
            yield node.module


def _package(name: str) -> str:
    """The part of a module's name that tells which package has it; google and airflow are shared by many."""
    depth = 3 if name.startswith(("google.", "airflow.providers.")) else 1
    return ".".join(name.split(".")[:depth])


def _path(node: ast.AST) -> str:
    """An absolute path of a machine, or an empty text."""
    value = node.value if isinstance(node, ast.Constant) else None
    is_path = isinstance(value, str) and _PATH.match(value) and not value.startswith(_IN_IMAGE)
    return str(value) if is_path else ""


def _asked(node: ast.AST) -> Iterator[tuple[str, str]]:
    """`Variable.get("name")` and the like."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return
    owner, first = node.func.value, node.args[0]
    kind = _GET.get(owner.id) if isinstance(owner, ast.Name) and node.func.attr.startswith("get") else None
    if kind and isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield kind, first.value
