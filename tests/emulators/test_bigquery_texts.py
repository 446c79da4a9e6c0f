"""Text literals, as BigQuery's documentation describes them."""

import pytest


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (r"'\u00a0|\u200b'", "\u00a0|\u200b"),
        (r"'\U0001F99C'", "🦜"),
        (r"'\x41\X42\103'", "ABC"),
        (r"'\x27 \u0022 \u005c \u000a'", "' \" \\ \n"),
        (r'"\u0022\t"', '"\t'),
        (r"'''it's \u2028'''", "it's \u2028"),
        # The escape is that of the backslash.
        (r"'\\u00a0'", r"\u00a0"),
        (r"r'\u00a0'", r"\u00a0"),
        (r"'\n\v\f'", "\n\v\f"),
    ],
)
def test_escapes_are_the_characters_that_they_name(sql, literal, text):
    assert sql(f"select {literal}") == [(text,)]


def test_a_function_gets_the_characters(sql):
    assert sql(r"select trim('  computer-vision\u00a0', '\t\n\u000b\u000c\r \u0085\u00a0\u200b')") == [
        ("computer-vision",)
    ]
