"""YAML in which no key stands twice."""

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML drops the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys: dict[str, yaml.Node] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (first := keys.setdefault(key.value, key)) is not key:
                one, other = (each.start_mark.line + 1 for each in (first, key))
                raise yaml.MarkedYAMLError(problem=f"`{key.value}` stands in line {one} and in line {other}: leave one")
        return node


def load(text: str) -> Any:
    """The content of a text.

    Raises:
        yaml.YAMLError: it is not valid YAML, or a key stands twice; the message has both lines.
    """
    return _Loader(text).get_single_data()
