"""The dbt model of docs/extending.md, made as that page shows it."""

import re
import shutil

from tests.conftest import ROOT
from tests.dbt_transforms.conftest import transform

PAGE = (ROOT / "docs" / "extending.md").read_text()


def test_a_model_beside_the_others_is_built_with_them(sources, tmp_path, monkeypatch):
    (sql,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    project = tmp_path / "dbt_transforms"
    shutil.copytree(ROOT / "dbt_transforms", project)
    (project / "models" / "marts" / "label_counts.sql").write_text(sql)
    monkeypatch.setattr(transform, "PROJECT", project)
    assert sources.run("build")["models"] == 5
    assert sources.sql("select tag, number_of_rows from candidate.label_counts order by tag") == [
        ["MLOps", "1"],
        ["computer-vision", "1"],
    ]
