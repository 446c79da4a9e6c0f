"""What the DAG files say without being run."""

import pytest

from deploy import sources


def read(text, path="dags/ours.py"):
    return sources.read({path: text.encode(), "dags/pipeline/__init__.py": b""})


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import numpy.linalg as la", {"numpy"}),
        ("def f():\n    import httpx", {"httpx"}),
        ("if TYPE_CHECKING:\n    from docker import errors", {"docker"}),
        ("from google.cloud import storage, bigquery", {"google.cloud.storage", "google.cloud.bigquery"}),
        ("from google.api_core.exceptions import NotFound", {"google.api_core.exceptions"}),
        ("from airflow.providers.airbyte.hooks import airbyte", {"airflow.providers.airbyte"}),
        ("from airflow.sdk import DAG", {"airflow"}),
        ("import ours, pipeline.graph\nfrom pipeline import graph", set()),
    ],
)
def test_imports_of_others_are_found_wherever_they_are(text, modules):
    assert read(text).imports.keys() == modules


@pytest.mark.parametrize(
    ("content", "where", "told"),
    [
        (b"A = 1\ndef f(:\n", "dags/bad.py:2", "invalid syntax"),
        (b"if True:\nA = 1\n", "dags/bad.py:2", "expected an indented block after 'if' statement on line 1"),
        (b'A = "\xff"\n', "dags/bad.py:1", "'utf-8' codec can't decode byte 0xff"),
        (b"A = 1\0", "dags/bad.py:1", "source code string cannot contain null bytes"),
    ],
)
def test_a_file_that_python_cannot_read_is_named_with_its_line_and_the_others_are_read(content, where, told):
    found = sources.read({"dags/bad.py": content, "dags/ours.py": b"import numpy"})
    ((place, error),) = found.errors.items()
    assert place == where
    assert told in error
    assert found.imports == {"numpy": ["dags/ours.py:1"]}


def test_an_absolute_path_of_a_machine_is_found_and_documentation_is_not():
    found = read(
        '"""/home/me is fine here."""\nA = "/home/me/data.csv"\nB = "/tmp/x"\nC = "/opt/mlops/var"\nD = f"/var/x/{A}"\n'
    )
    assert found.paths == {"/home/me/data.csv": ["dags/ours.py:2"], "/var/x/": ["dags/ours.py:5"]}


def test_connections_and_variables_that_code_asks_for_are_found():
    found = read('Variable.get("a", default=1)\nBaseHook.get_connection("b")\nConnection.get("c")\nsettings.get("d")\n')
    assert found.variables == {"a": ["dags/ours.py:1"]}
    assert found.connections == {"b": ["dags/ours.py:2"], "c": ["dags/ours.py:3"]}


def test_what_only_pods_run_is_not_read():
    assert read("import dbt", "data/dbt_transforms/transform.py").imports == {}


def test_a_plugin_that_imports_a_module_of_the_dags_is_found():
    found = read("from pipeline.settings import Settings\nimport ours\nimport airflow", "plugins/ours.py")
    assert found.crossing == {"pipeline.settings": ["plugins/ours.py:1"]}
