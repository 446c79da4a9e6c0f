"""The Markdown documents: the index lists every file of docs/, links work, and the contract of reports is current."""

import re

import pytest

import pipeline.reports
from stack.runs import reports
from stack.settings import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*/*.md")]


def text_of(document):
    """The text of a document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_lists_every_file_of_docs():
    index = text_of(ROOT / "docs" / "README.md")
    files = {path.name for path in (ROOT / "docs").iterdir() if path.is_file()} - {"README.md"}
    assert files == set(re.findall(r"\]\(([\w-]+\.\w+)\)", index))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_repository_works(document):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if not link.startswith(("http://", "https://")):
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(link)
    assert broken == []


def test_the_document_the_tasks_and_the_launcher_have_the_same_keys_of_a_report():
    contract = text_of(ROOT / "docs" / "architecture.md").partition("\n## Reports of tasks\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", contract, re.MULTILINE)
    documented = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    assert documented == set(pipeline.reports.Report.__annotations__) == set(reports.Report.model_fields)
    assert set(pipeline.reports.Check.__annotations__) == set(reports.Check.model_fields)
    assert set(pipeline.reports.Checks.__annotations__) == set(reports.Checks.model_fields)
