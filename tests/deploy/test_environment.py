"""What is compared with an environment, and how lists reach gcloud."""

from types import SimpleNamespace

import pytest

from deploy import environment
from deploy.environment import Environment
from stack.errors import StackError


def test_a_package_is_the_same_in_any_spelling():
    target = SimpleNamespace(deploy=SimpleNamespace(environment="staging", location="here"))
    theirs = Environment(SimpleNamespace(), target)
    theirs.facts = {"config": {"softwareConfig": {"pypiPackages": {"Google_Cloud.Storage": "==1", "pandas": ""}}}}
    assert theirs.has("packages") == {"google-cloud-storage": "==1", "pandas": ""}
    assert theirs.difference("packages", {"google-cloud-storage": "==1"}, set()) == ({}, [])
    assert theirs.difference("packages", {"pandas": ""}, {"google-cloud-storage"}) == ({}, ["google-cloud-storage"])


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (["A=1", "B=2"], "A=1,B=2"),
        (["A=1,2", "B=2"], "^;^A=1,2;B=2"),
        (["^x^"], "^,^^x^"),
        (["A=x,;|", "B=1"], "^::^A=x,;|::B=1"),
        # The end of a value and the beginning of the next item are no separator.
        (["A=x,;|:", "B=1"], "^~~^A=x,;|:~~B=1"),
    ],
)
def test_a_list_falls_apart_into_its_items(items, text):
    assert environment._list(items) == text


def test_values_with_all_separators_are_refused():
    with pytest.raises(StackError, match="these values hold each of"):
        environment._list(["A=,;|::~~@@#+#%-%", "B=1"])
