r"""Escape sequences in string literals that sqlglot leaves as they are, such as `\u00e9` and `\v`.

https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#escape_sequences
"""

import re

# What holds no string literal, or a string literal with its prefix.
_TOKEN = re.compile(
    r"""
    (?P<other>--[^\n]*|\#[^\n]*|/\*.*?\*/|`(?:\\.|[^`\\])*`)
    |(?P<prefix>\b(?:r|b|rb|br))?(?P<quote>'''|\"\"\"|'|\")(?P<body>(?:\\.|(?!(?P=quote)).)*)(?P=quote)
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.))", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "v": "\v", "n": "\n", "r": "\r", "t": "\t"}
# Characters that a literal cannot hold as they are.
_ESCAPED = {"\\": r"\\", "\n": r"\n", "\r": r"\r"}


def unescaped(sql: str) -> str:
    """SQL with the characters themselves in place of these sequences, but for literals of bytes and raw ones."""
    return _TOKEN.sub(lambda token: token[0] if token["other"] or token["prefix"] else _literal(token), sql)


def _literal(token: re.Match[str]) -> str:
    quote = token["quote"]

    def character(escape: re.Match[str]) -> str:
        short, long, byte, octal, letter = escape.groups()
        if letter:
            character = _LETTERS.get(letter, letter)
        else:
            character = chr(int(octal, 8) if octal else int(short or long or byte, 16))
        return f"\\{character}" if character == quote[0] else _ESCAPED.get(character, character)

    return f"{quote}{_ESCAPE.sub(character, token['body'])}{quote}"
