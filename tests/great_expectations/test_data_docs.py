"""The pages of the data docs."""

import itertools
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

IMAGE = '<img src="https://example.org/x.png">'
ELEMENTS = {"html", "head", "meta", "title", "link", "style", "body", "header", "main", "section", "h1", "h2", "h3"}
ELEMENTS |= {"p", "a", "b", "i", "span", "div", "code", "time", "ul", "li", "dl", "dt", "dd"}
ELEMENTS |= {"table", "thead", "tbody", "tr", "th", "td"}


class Page(HTMLParser):
    """The elements and links of a page, its texts, and the texts in each row of its tables."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.tags, self.attributes = set(), set()
        self.links, self.lines, self.rows = [], [], []
        self.html = path.read_text()
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(dict(attrs))
        if "href" in dict(attrs) and dict(attrs)["href"] != "data:,":
            self.links.append((tag, dict(attrs)["href"]))
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        if data.strip():
            self.lines.append(data.strip())
            if self.rows:
                self.rows[-1].append(data.strip())

    def linked_file(self, link):
        return (self.path.parent / unquote(link)).resolve()


@pytest.fixture
def docs(place):
    return place.docs


def newest(docs, suite):
    """The page of the newest result of a suite."""
    return Page(max(docs.glob(f"validations/{suite}/*/*/*.html")))


def test_no_page_loads_anything_and_every_link_is_a_file(place, docs):
    place.run("projects")
    place.sql(f"update raw.projects set title = '{IMAGE}', description = 'Twice' where id in (2, 3)")
    place.run("projects")
    place.sql("drop table raw.tags")
    place.run("tags")
    assert IMAGE in newest(docs, "projects").lines
    files = [path for path in docs.rglob("*") if path.is_file()]
    assert len(files) == 1 + 3 + 2
    for page in map(Page, files):
        # No scripts, no images, no attributes that name a resource, no imported styles.
        assert page.tags <= ELEMENTS
        assert page.attributes <= {"lang", "charset", "name", "content", "rel", "href", "class", "id", "datetime"}
        assert "url(" not in page.html
        assert "@import" not in page.html
        for tag, link in page.links:
            assert tag == "a"
            assert page.linked_file(link) in files, (page.path, link)
        assert page.linked_file(page.links[0][1]) == docs / "index.html"
        assert len(page.html) < 20_000


def test_the_index_lists_results_with_state_and_link_newest_first_then_the_suites(place, docs):
    place.run("tags")
    place.run("labeled_projects")
    place.sql("update raw.tags set tag = null where id = 4")
    place.run("tags")
    index = Page(docs / "index.html")
    listed = [row[:4] for row in index.rows[1:]]
    assert [(state, data) for state, data, *_ in listed] == [
        ("✗ Failed", "tags"),
        ("✓ Passed", "labeled_projects"),
        ("✓ Passed", "tags"),
    ]
    times = [time for *_, time in listed]
    assert times == sorted(times, reverse=True)
    linked = [index.linked_file(link) for _, link in index.links[1:]]
    results = sorted(docs.glob("validations/*/*/*/*.html"), key=lambda path: path.parent.name, reverse=True)
    assert linked == [*results, docs / "expectations" / "labeled_projects.html", docs / "expectations" / "tags.html"]
    for path, (state, data, *_) in zip(results, listed, strict=True):
        page = Page(path)
        assert page.lines[page.lines.index("Data docs") + 1 :][:2] == [data, state]


def test_a_failed_result_shows_first_the_failed_expectations_with_examples_and_what_to_do(place, docs):
    place.sql("update candidate.labeled_projects set tag = 'unheard-of' where id = 4")
    place.run("labeled_projects")
    lines = newest(docs, "labeled_projects").lines
    failed = lines[lines.index("Failed") : lines.index("Passed")]
    assert failed[1:] == [
        *("✗ Failed", "expect_column_values_to_be_known(tag)"),
        *("Expected", "tag", "values must be in", "labels.known", "; case is ignored."),
        *("Observed", "1 of 5 rows failing", "Examples", "id", "title", "tag", "4", "Title 4", "unheard-of"),
        *("What to do", "Correct the label in the source, or add it to", "labels.known", "in the config."),
    ]
    assert lines.count("✓ Passed") == 14


def test_a_value_that_did_not_fit_its_column_is_shown_as_it_was_in_the_source(place, docs):
    meta = '{"changes": [{"field": "created_on", "value": "yesterday"}]}'
    place.sql("update raw.projects set created_on = null where id in (4, 5)")
    place.sql(f"update raw.projects set _airbyte_meta = '{meta}' where id = 4")
    place.run("projects")
    head, *rows = newest(docs, "projects").rows[:3]
    assert head == ["id", "title", "created_on", "in the source"]
    assert sorted(row[:4] for row in rows) == [["4", "Title 4", "null", "yesterday"], ["5", "Title 5", "null", "null"]]


def test_an_expectation_that_could_not_be_checked_shows_the_reason(place, docs):
    place.sql("alter table candidate.labeled_projects drop tag")
    place.run("labeled_projects")
    lines = newest(docs, "labeled_projects").lines
    failed = lines[lines.index("Failed") : lines.index("Passed")]
    reasons = [after for line, after in itertools.pairwise(failed) if line == "Not checked"]
    assert len(reasons) == 4
    assert 'column "tag" in BatchData does not exist' in reasons[0]
    assert "What to do" not in failed


def test_the_page_of_a_suite_shows_the_values_from_the_config_and_what_to_do(place, docs):
    place.configure("sources", "tags", min_rows=4321)
    place.run("tags")
    page = Page(docs / "expectations" / "tags.html")
    assert "4321" in page.lines
    assert "Fill in <code>tag</code> in these rows" in page.html
    assert "<code>tag</code> values must contain characters other than white space." in page.html
