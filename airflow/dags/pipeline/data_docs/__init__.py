"""The data docs: pages that fetch nothing, neither from the network nor from beside them.

Great Expectations' own pages load their styles and scripts, which fill in the tables, from other people's servers. Here
a renderer says what is on a page, and the view puts it into the template of that name.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from string import Template
from typing import TYPE_CHECKING, Any

from great_expectations.render.renderer import site_builder
from jinja2 import Environment, PackageLoader

from pipeline import findings

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render import RenderedAtomicContent, RenderedAtomicValue


class SiteBuilder(site_builder.SiteBuilder):
    """A site of pages only: Great Expectations puts its images, fonts and styles, 4 MB of them, beside."""

    def build(self, resource_identifiers: Any = None, build_index: bool = True) -> tuple[str, dict[str, Any]]:
        """Write pages: those of `resource_identifiers`, else all, and the index; returns its URL and what it links."""
        for section in self.site_section_builders.values():
            section.build(resource_identifiers=resource_identifiers)
        _, links = self.site_index_builder.build(build_index=build_index)
        return self.get_resource_url(only_if_exists=False), links


class IndexRenderer:
    """The page that lists validation results, newest first, and suites."""

    def render(self, links: dict[str, Any]) -> dict[str, Any]:
        """The page of what the index builder collected."""
        results = sorted(links.get("validations_links", []), key=lambda link: link["run_time"], reverse=True)
        suites = sorted(links.get("expectations_links", []), key=lambda link: link["expectation_suite_name"])
        return {"template": "index.j2", "home": "", "results": results, "suites": suites}


class ResultRenderer:
    """The page of one validation result: what failed, then what passed."""

    def render(self, result: "ExpectationSuiteValidationResult") -> dict[str, Any]:
        """The page of a result."""
        batch = result.meta.get("active_batch_definition", {})
        home = _home(result.suite_name, folders=4)
        return {
            "template": "result.j2",
            "home": home,
            "suite": result.suite_name,
            "suite_page": f"{home}expectations/{result.suite_name.replace('.', '/')}.html",
            "asset": batch.get("data_asset_name"),
            "datasource": batch.get("datasource_name"),
            "time": datetime.fromisoformat(result.meta["validation_time"]),
            "success": result.success,
            "failed": [_checked(each) for each in result.results if not each.success],
            "passed": [_checked(each) for each in result.results if each.success],
            "version": result.meta["great_expectations_version"],
        }


class SuiteRenderer:
    """The page of one suite: what is expected, and what to do where it is not so."""

    def render(self, suite: "ExpectationSuite") -> dict[str, Any]:
        """The page of a suite."""
        suite.render()
        expectations = [_expected(each.configuration, each.rendered_content) for each in suite.expectations]
        home = _home(suite.name, folders=1)
        return {"template": "suite.j2", "home": home, "suite": suite.name, "expectations": expectations}


class PageView:
    """HTML of a page; whatever a renderer returns is text and never markup, since much of it is other people's data."""

    def __init__(self) -> None:
        """Load the templates beside this file."""
        self._templates = Environment(
            loader=PackageLoader("pipeline", "data_docs"), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters["utc"] = lambda time: f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def render(self, page: dict[str, Any], **kwargs: Any) -> str:
        """HTML of what a renderer returned; Great Expectations' further arguments are about its own templates."""
        return self._templates.get_template(page["template"]).render(page)


def _home(suite: str, folders: int) -> str:
    """The way back from a page in so many folders; each dot in a suite's name makes one more of them."""
    return "../" * (folders + suite.count("."))


def _checked(result: "ExpectationValidationResult") -> dict[str, Any]:
    result.render()
    return _expected(result.expectation_config, result.expectation_config.rendered_content) | {
        "observed": findings.observed(result),
        "examples": findings.examples(result),
        "exception": findings.exception(result),
    }


def _expected(expectation: "ExpectationConfiguration", rendered: "Iterable[RenderedAtomicContent]") -> dict[str, Any]:
    return {
        "subject": findings.subject(expectation),
        "sentence": expectation.description or " ".join(_sentence(each.value) for each in rendered),
        "notes": expectation.notes,
    }


def _sentence(value: "RenderedAtomicValue") -> str:
    """What is expected, in Great Expectations' words; none where it would draw a graph or a table."""
    parameters = {name: f"`{parameter['value']}`" for name, parameter in (value.params or {}).items()}
    return Template(value.template or "").safe_substitute(parameters)
