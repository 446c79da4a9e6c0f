"""The data docs: self-contained pages that load nothing from the network or from other files.

Great Expectations' own pages load styles and scripts, which fill in the tables, from the internet. Here a renderer
returns the content of a page, and the view renders it with the template of that name.
"""

import functools
import json
from datetime import UTC, datetime
from string import Template
from typing import TYPE_CHECKING, Any

from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.render.renderer import site_builder
from jinja2 import Environment, PackageLoader

from pipeline import findings

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.render import RenderedAtomicValue


class SiteBuilder(site_builder.SiteBuilder):
    """A site without the 4 MB of images, fonts and styles that Great Expectations copies into it."""

    def build(self, resource_identifiers: Any = None, build_index: bool = True) -> tuple[str | None, Any]:
        """Write the index and the pages of `resource_identifiers` (None: all); returns the index's URL and links."""
        for section in self.site_section_builders.values():
            section.build(resource_identifiers=resource_identifiers)
        _, links = self.site_index_builder.build(build_index=build_index)
        return self.get_resource_url(only_if_exists=False), links


class IndexBuilder(site_builder.DefaultSiteIndexBuilder):
    """An index of the results and of their suites, whose store is the memory of the process that ran them."""

    def _add_expectations_to_index_links(self, index_links_dict: Any, skip_and_clean_missing: bool) -> None:
        """Add the suites that have pages, after the pages of those without results are removed."""
        pages = self.target_store.store_backends[ExpectationSuiteIdentifier]
        listed = pages.list_keys()
        # Looked up later than the pages: another process may be adding a result, and then the page of its suite.
        results = self.data_context.validation_results_store.list_keys()
        ours = [key for key in results if isinstance(key, ValidationResultIdentifier)]
        used = {key.expectation_suite_identifier.to_tuple() for key in ours}
        for key in listed:
            if key not in used:
                pages.remove_key(key)
        super()._add_expectations_to_index_links(index_links_dict, skip_and_clean_missing=False)


class IndexRenderer:
    """The page that lists validation results, newest first, and suites."""

    def render(self, links: dict[str, Any]) -> dict[str, Any]:
        """The page's content from the links that the index builder collected."""
        results = sorted(links.get("validations_links", []), key=lambda link: link["run_time"], reverse=True)
        suites = sorted(links.get("expectations_links", []), key=lambda link: link["expectation_suite_name"])
        return {"template": "index.j2", "home": "", "results": results, "suites": suites}


class ResultRenderer:
    """The page of one validation result: first the failed expectations, then the passed ones."""

    def render(self, result: "ExpectationSuiteValidationResult") -> dict[str, Any]:
        """The page's content."""
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
    """The page of one suite: its expectations, and what to do if one is not met."""

    def render(self, suite: "ExpectationSuite") -> dict[str, Any]:
        """The page's content."""
        expectations = [_expected(each.configuration) for each in suite.expectations]
        home = _home(suite.name, folders=1)
        return {"template": "suite.j2", "home": home, "suite": suite.name, "expectations": expectations}


class PageView:
    """HTML of a page; all content is escaped, since much of it is data from the source."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("pipeline", "data_docs"), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters["utc"] = _utc

    def render(self, page: dict[str, Any], **kwargs: Any) -> str:
        """HTML of a renderer's content; Great Expectations' further arguments are for its own templates."""
        return self._templates.get_template(page["template"]).render(page)


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _home(suite: str, folders: int) -> str:
    """The relative path from a page to the site's root; each dot in a suite's name adds one folder."""
    return "../" * (folders + suite.count("."))


def _checked(result: "ExpectationValidationResult") -> dict[str, Any]:
    return {**findings.check(result), **_expected(findings.configuration(result))}


def _expected(expectation: ExpectationConfiguration) -> dict[str, Any]:
    # SQL is whole, since its placeholders are filled in.
    kwargs = {
        name: kwarg if name == "unexpected_rows_query" else findings.cut(kwarg)
        for name, kwarg in expectation.kwargs.items()
        if name != "batch_id"
    }
    written = json.dumps(kwargs, sort_keys=True, default=str)
    return {
        "subject": findings.subject(expectation),
        "sentence": expectation.description or _rendered(expectation.type, written),
        "notes": expectation.notes,
    }


@functools.cache
def _rendered(expectation_type: str, kwargs: str) -> str:
    """Great Expectations' own description; cached, since rendering takes long and a suite's page repeats a result's."""
    expectation = ExpectationConfiguration(type=expectation_type, kwargs=json.loads(kwargs)).to_domain_obj()
    expectation.render()
    return " ".join(_sentence(each.value) for each in expectation.rendered_content or [])


def _sentence(value: "RenderedAtomicValue") -> str:
    """The text of a value; empty if it is a graph or a table."""
    parameters = {name: f"`{parameter['value']}`" for name, parameter in (value.params or {}).items()}
    return Template(value.template or "").safe_substitute(parameters)
