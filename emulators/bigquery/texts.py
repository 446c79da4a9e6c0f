r"""Text literals: escapes by number, as `'\u00a0'`, `'\x41'`, `'\101'`, are the characters that they name.

https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#escape_sequences
"""

import re
from typing import Any

from sqlglot.dialects.bigquery import BigQuery
from sqlglot.tokenizer_core import TokenizerCore

_ESCAPE = re.compile(
    r"\\(?:u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|[xX](?P<x>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})|.)",
    re.DOTALL,
)


def _named(escape: re.Match[str], quote: str) -> str:
    """The character that an escape names, as it can stand in a literal between these quotes."""
    number = escape["u"] or escape["U"] or escape["x"]
    if number or escape["octal"]:
        character = chr(int(number, 16) if number else int(escape["octal"], 8))
    # sqlglot knows only the quotes of the literal itself here.
    elif escape[0][1] in "'\"":
        character = escape[0][1]
    else:
        return escape[0]
    # These would end the literal or begin another escape.
    return {quote: f"\\{quote}", "\\": "\\\\", "\n": "\\n", "\r": "\\r"}.get(character, character)


def install() -> None:
    """Replace the escapes in a literal before sqlglot reads it; it knows those of one letter only."""
    extract = TokenizerCore._extract_string

    def extract_string(self: Any, delimiter: str, *arguments: Any, raw_string: bool = False, **more: Any) -> str:
        start = self._current - 1
        is_text = delimiter in ("'", '"', "'''", '"""') and self.unescaped_sequences is BigQuery.UNESCAPED_SEQUENCES
        # Bytes have escapes of their own.
        if is_text and not raw_string and self.sql[: start - len(delimiter)][-1:] not in ("b", "B"):
            end = start
            while end < self.size and not self.sql.startswith(delimiter, end):
                end += 2 if self.sql[end] == "\\" else 1
            text = _ESCAPE.sub(lambda escape: _named(escape, delimiter[0]), self.sql[start:end])
            if text != self.sql[start:end]:
                self.sql = self.sql[:start] + text + self.sql[end:]
                self.size = len(self.sql)
                self._char, self._peek = self.sql[start], self.sql[start + 1 : start + 2]
        return extract(self, delimiter, *arguments, raw_string=raw_string, **more)

    TokenizerCore._extract_string = extract_string
