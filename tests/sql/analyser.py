"""Google's analyser of SQL as a program, which the environment `zetasql` runs.

It reads queries, one a line, as `emulators.bigquery --statements` writes them, and answers each with a line of JSON: an
error's message, or null. Of a script it analyses every statement, with the tables that earlier ones create; conditions
and bodies of IF, too.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wasmtime
from zetasql import types
from zetasql.api import Analyzer, Parser, TypeFactory
from zetasql.core import wasm_client
from zetasql.core.exceptions import ZetaSQLError
from zetasql.types import LanguageFeature, SimpleCatalog, SimpleColumn, SimpleTable, TypeKind

# BigQuery has them; they are not in the analyser's own "maximum".
FEATURES = (LanguageFeature.FEATURE_CREATE_TABLE_CLONE, LanguageFeature.FEATURE_ALTER_COLUMN_SET_DATA_TYPE)
# As in https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords; where the word is not
# reserved, the analyser wants a WHERE beside it.
RESERVED = ["QUALIFY"]
# Names of types of the REST API that the analyser has other names for.
KINDS = {"INTEGER": "INT64", "FLOAT64": "DOUBLE", "FLOAT": "DOUBLE", "BOOLEAN": "BOOL"}


def keep_compiled(folder: Path) -> None:
    """Keep the compiled analyser in a folder: to compile it takes half a minute of processor time."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "cache.toml"
    settings.write_text(f"[cache]\ndirectory = {json.dumps(str(folder.resolve()))}\n")

    def configuration() -> wasmtime.Config:
        made = wasmtime.Config()
        made.cache = str(settings)
        return made

    wasm_client.Config = configuration


def language() -> types.LanguageOptions:
    """BigQuery's SQL, as near as the analyser's options come."""
    options = types.LanguageOptions.maximum_features()
    options.product_mode = types.ProductMode.PRODUCT_EXTERNAL
    options.enabled_language_features = [*options.enabled_language_features, *FEATURES]
    options.reserved_keywords = RESERVED
    return options


def type_of_field(field: dict[str, Any]) -> types.Type:
    """Type of a column, from the REST API's TableFieldSchema."""
    if field["type"] in ("RECORD", "STRUCT"):
        made = TypeFactory.create_struct_type([(each["name"], type_of_field(each)) for each in field["fields"]])
    else:
        made = simple_type(field["type"])
    return TypeFactory.create_array_type(made) if field.get("mode") == "REPEATED" else made


def type_of_parameter(given: dict[str, Any]) -> types.Type:
    """Type of a query's parameter, from the REST API's QueryParameterType; a scalar or an array of scalars."""
    if given["type"] == "ARRAY":
        return TypeFactory.create_array_type(type_of_parameter(given["arrayType"]))
    return simple_type(given["type"])


def simple_type(name: str) -> types.Type:
    """Type of a name in the REST API."""
    return TypeFactory.create_simple_type(TypeKind[f"TYPE_{KINDS.get(name, name)}"])


class Query:
    """A query or script, with the tables that it may name."""

    def __init__(self, language: types.LanguageOptions, given: dict[str, Any]):
        self._language = language
        # Places in it are counted in bytes.
        self._sql = given["sql"].encode()
        self._project = given["project"]
        self._dataset = given["dataset"]
        self._tables = {
            tuple(name.split(".")): [_column(field["name"], type_of_field(field)) for field in fields]
            for name, fields in given["tables"].items()
        }
        parameter = types.AnalyzerOptions.QueryParameter
        self._options = types.AnalyzerOptions(
            language_options=language,
            query_parameters=[
                parameter(name=each["name"], type=type_of_parameter(each["parameterType"]))
                for each in given["parameters"]
            ],
        )

    def error(self) -> str | None:
        """What BigQuery would say against it."""
        try:
            script = Parser.parse_script_static(self._sql.decode(), self._language)
            for sql in self._statements(script.statement_list_node):
                self._analyse(sql)
        except ZetaSQLError as error:
            return str(error)
        return None

    def _statements(self, found: types.ASTStatementList) -> Iterator[str]:
        """The statements of a list in their order; a condition becomes a query."""
        for node in found.statement_list:
            if isinstance(node, types.ASTIfStatement):
                clauses = node.elseif_clauses.elseif_clauses if node.elseif_clauses else []
                bodies = [node.then_list, *(clause.body for clause in clauses), node.else_list]
                for condition in (node.condition, *(clause.condition for clause in clauses)):
                    yield f"select if({self._text(condition)}, 1, 0)"
                for body in filter(None, bodies):
                    yield from self._statements(body)
            else:
                yield self._text(node)

    def _text(self, node: types.ASTNode) -> str:
        place = node.parse_location_range
        return self._sql[place.start : place.end].decode()

    def _analyse(self, sql: str) -> None:
        done = Analyzer(self._options, self._catalog()).analyze_statement(sql)
        if isinstance(done, types.ResolvedCreateTableStmtBase):
            columns = [_column(each.name, each.column.type) for each in done.column_definition_list]
            self._tables.setdefault(self._key(done.name_path), columns)
        elif isinstance(done, types.ResolvedAlterTableStmt):
            columns = self._tables[self._key(done.name_path)]
            for action in done.alter_action_list:
                if isinstance(action, types.ResolvedDropColumnAction):
                    columns[:] = [each for each in columns if each.name.lower() != action.name.lower()]
                elif isinstance(action, types.ResolvedAddColumnAction):
                    added = action.column_definition
                    columns.append(_column(added.name, added.column.type))

    def _key(self, path: list[str]) -> tuple[str, str]:
        """Dataset and name of a table."""
        *parents, name = ".".join(path).split(".")
        return (parents[-1] if parents else self._dataset), name

    def _catalog(self) -> SimpleCatalog:
        """The tables by each way to write their names: with project and dataset or without, in one piece or several."""
        functions = types.ZetaSQLBuiltinFunctionOptions(language_options=self._language)
        root = SimpleCatalog(name="root", builtin_function_options=functions)
        project, datasets = SimpleCatalog(name=self._project), defaultdict(list)
        for (dataset, name), columns in self._tables.items():
            datasets[dataset].append(SimpleTable(name=name, column=columns))
            for written in (f"{self._project}.{dataset}.{name}", f"{dataset}.{name}"):
                root.table.append(SimpleTable(name=written, column=columns))
        root.table += datasets[self._dataset]
        project.catalog = [SimpleCatalog(name=name, table=tables) for name, tables in datasets.items()]
        root.catalog = [project, *project.catalog]
        root.catalog += [
            SimpleCatalog(name=f"{self._project}.{each.name}", table=each.table) for each in project.catalog
        ]
        return root


def _column(name: str, kind: types.Type) -> SimpleColumn:
    return SimpleColumn(name=name, type=kind, is_writable_column=True)


def main() -> None:
    """Answer each line."""
    keep_compiled(Path(sys.prefix) / "compiled")
    options = language()
    for line in sys.stdin:
        print(json.dumps(Query(options, json.loads(line)).error()), flush=True)


if __name__ == "__main__":
    main()
