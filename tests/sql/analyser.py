"""Google's analyser of SQL as a program: reads queries as `emulators.bigquery --statements` writes them, one a line, from
standard input, and writes for each query a list of its errors, one line of JSON an answer.

Run by the environment `zetasql`. Each statement of a script is analysed, after what it creates has been added to the
tables; so are the conditions and bodies of IF.
"""

import json
import sys
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
# https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords has it; not reserved, it would
# need a WHERE beside it.
RESERVED = ["QUALIFY"]
# The REST API's names that are not the analyser's.
KINDS = {"INTEGER": "INT64", "FLOAT64": "DOUBLE", "FLOAT": "DOUBLE", "BOOLEAN": "BOOL"}

Tables = dict[tuple[str, str], list[SimpleColumn]]


def keep_compiled(folder: Path) -> None:
    """Keep the analyser's compiled program in a folder: compiling it takes half a minute of processor time."""
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


def type_of(field: dict[str, Any]) -> types.Type:
    """A type of the REST API: a field's of a table, or a parameter's."""
    name = field["type"].upper()
    if name == "ARRAY":
        return TypeFactory.create_array_type(type_of(field["arrayType"]))
    if name in ("RECORD", "STRUCT"):
        inner = [(each["name"], type_of(each.get("type") if isinstance(each.get("type"), dict) else each))
                 for each in field.get("fields") or field.get("structTypes") or []]
        kind = TypeFactory.create_struct_type(inner)
    else:
        kind = TypeFactory.create_simple_type(TypeKind[f"TYPE_{KINDS.get(name, name)}"])
    return TypeFactory.create_array_type(kind) if field.get("mode") == "REPEATED" else kind


def column(name: str, kind: types.Type) -> SimpleColumn:
    return SimpleColumn(name=name, type=kind, is_writable_column=True)


class Query:
    """A query or script with the tables that it may name."""

    def __init__(self, options: types.LanguageOptions, given: dict[str, Any]):
        self._language = options
        self._sql = given["sql"].encode()
        self._project = given["project"]
        self._dataset = given["dataset"]
        self._tables: Tables = {
            tuple(name.split(".", 1)): [column(field["name"], type_of(field)) for field in fields]
            for name, fields in given["tables"].items()
        }
        parameters = given["parameters"]
        named = [
            types.AnalyzerOptions.QueryParameter(name=each["name"], type=type_of(each["parameterType"]))
            for each in parameters
            if each.get("name")
        ]
        positional = [type_of(each["parameterType"]) for each in parameters if not each.get("name")]
        mode = types.ParameterMode.PARAMETER_POSITIONAL if positional else types.ParameterMode.PARAMETER_NAMED
        self._options = types.AnalyzerOptions(
            language_options=options,
            query_parameters=named,
            positional_query_parameters=positional,
            parameter_mode=mode,
        )

    def errors(self) -> list[str]:
        """What is wrong; nothing if BigQuery would take it."""
        try:
            script = Parser.parse_script_static(self._sql.decode(), self._language)
            for sql in self._statements(script.statement_list_node):
                self._analyse(sql)
        except ZetaSQLError as error:
            return [str(error)]
        return []

    def _statements(self, found: Any) -> Iterator[str]:
        """The statements of a list, in their order; a condition becomes a query."""
        for node in found.statement_list:
            if isinstance(node, types.ASTIfStatement):
                yield f"select {self._text(node.condition)}"
                yield from self._statements(node.then_list)
                for clause in node.elseif_clauses.elseif_clauses if node.elseif_clauses else ():
                    yield f"select {self._text(clause.condition)}"
                    yield from self._statements(clause.body)
                if node.else_list:
                    yield from self._statements(node.else_list)
            elif isinstance(node, types.ASTBeginEndBlock):
                yield from self._statements(node.statement_list_node)
            else:
                yield self._text(node)

    def _text(self, node: Any) -> str:
        place = node.parse_location_range
        return self._sql[place.start : place.end].decode()

    def _analyse(self, sql: str) -> None:
        done = Analyzer(self._options, self._catalog()).analyze_statement(sql)
        if isinstance(done, types.ResolvedCreateTableStmtBase):
            *_, dataset, name = ".".join(done.name_path).split(".") if len(done.name_path) > 1 or "." in done.name_path[0] else (self._dataset, done.name_path[0])
            columns = [column(each.name, each.column.type) for each in done.column_definition_list]
            self._tables.setdefault((dataset, name), columns)

    def _catalog(self) -> SimpleCatalog:
        """The tables under each way to write their names: by parts or in one piece, without project or dataset."""
        root = SimpleCatalog(
            name="root",
            builtin_function_options=types.ZetaSQLBuiltinFunctionOptions(language_options=self._language),
        )
        project, whole = SimpleCatalog(name=self._project), {}
        for (dataset, name), columns in self._tables.items():
            def table(name: str, columns: list[SimpleColumn] = columns) -> SimpleTable:
                return SimpleTable(name=name, column=columns)

            root.table += [table(f"{self._project}.{dataset}.{name}"), table(f"{dataset}.{name}")]
            if dataset == self._dataset:
                root.table.append(table(name))
            for path, parent in ((dataset, root), (dataset, project), (f"{self._project}.{dataset}", root)):
                key = (path, parent is project)
                if key not in whole:
                    whole[key] = SimpleCatalog(name=path)
                    parent.catalog.append(whole[key])
                whole[key].table.append(table(name))
        root.catalog.append(project)
        return root


def main() -> None:
    """Answer a line for each line."""
    keep_compiled(Path(sys.prefix) / "compiled")
    options = language()
    for line in sys.stdin:
        print(json.dumps(Query(options, json.loads(line)).errors()), flush=True)


if __name__ == "__main__":
    main()
