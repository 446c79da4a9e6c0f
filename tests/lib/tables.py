"""Tables of sources with the same columns and rows on PostgreSQL and on BigQuery's stand-in; standard library only."""

import json
from dataclasses import dataclass

# Types of the destinations of the Airbyte service.
BIGQUERY = {
    "bigint": "INT64",
    "numeric": "BIGNUMERIC",
    "timestamp": "DATETIME",
    "timestamptz": "TIMESTAMP",
    "date": "DATE",
    "text": "STRING",
    "boolean": "BOOL",
    "jsonb": "JSON",
}


@dataclass(frozen=True)
class Kind:
    """How a warehouse writes names and types; `prefix` is in front of its schemas."""

    quote: str
    prefix: str
    types: dict[str, str]

    def create(self, warehouse, table, columns, rows):
        """Create `schema.table` with types of PostgreSQL, and fill it with numbers, texts and nulls."""
        types = ", ".join(f"{self.name(column)} {self.types.get(kind, kind)}" for column, kind in columns.items())
        warehouse.sql(f"create table {self.prefix}{table} ({types})")
        values = ", ".join(
            f"({', '.join(self._value(value, kind) for value, kind in zip(row, columns.values(), strict=True))})"
            for row in rows
        )
        warehouse.sql(f"insert into {self.prefix}{table} ({', '.join(map(self.name, columns))}) values {values}")

    def rows(self, warehouse, table, *columns):
        """Sorted rows of a table, with all values as texts and nulls as empty ones."""
        text = self.types.get("text", "text")
        texts = ", ".join(f"cast({self.name(column)} as {text})" for column in columns)
        return sorted(
            [value or "" for value in row] for row in warehouse.sql(f"select {texts} from {self.prefix}{table}")
        )

    def numbers(self, count):
        """A `from` with the numbers `n` from 1 on."""
        return (
            f"from unnest(generate_array(1, {count})) as n" if self.types else f"from generate_series(1, {count}) as n"
        )

    def name(self, column):
        """A quoted name."""
        return f"{self.quote}{column.replace(self.quote, 2 * self.quote)}{self.quote}"

    def _value(self, value, kind):
        if value is None:
            return "null"
        if isinstance(value, int | float):
            return str(value)
        # JSON's escapes are BigQuery's; PostgreSQL keeps every character but the quote.
        text = json.dumps(value, ensure_ascii=False) if self.types else f"'{value.replace(chr(39), 2 * chr(39))}'"
        if kind == "jsonb" and self.prefix:
            return f"parse_json({text})"
        return text if kind == "text" else f"cast({text} as {self.types.get(kind, kind)})"


KINDS = {"postgres": Kind('"', "", {}), "bigquery": Kind("`", "ada_", BIGQUERY)}
