"""Airflow's page as a person sees it, and every page that it links, in a real browser.

With SCREENSHOTS=folder the pictures of the README are written there.
"""

import functools
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from docker_testing import wait_until as wait
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By

# The session's first request, without a login; a request that is open when its page is left; a container's network that
# comes or goes.
EXPECTED = (
    "/ui/config - Failed to load resource: the server responded with a status of 401",
    "DOMException: signal is aborted without reason",
    "ERR_NETWORK_CHANGED",
)
# What the links of tasks are called, by task.
LINKS = {
    "dataops": {"extract_and_load_tags": "Sync log", "validate_tags": "Validation result", "transform": "dbt docs"},
    "mlops": {"validate": "Validation result", "train": "MLflow model", "promote": "MLflow run"},
}
PICTURES = {"dataops": "airflow-dataops.png", "mlops": "airflow-mlops.png"}

pytestmark = pytest.mark.timeout(1500)
# To read a page's text takes a browser long, and keeps it from its work.
wait_until = functools.partial(wait, every=1)


@pytest.fixture
def page(stack, first_run, browser):
    """The browser, logged in to Airflow."""
    page = Page(browser)
    # The browser keeps these logins, as it does once a person has typed them.
    for name, path in (("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1"), ("airbyte", "/")):
        login = ":".join(quote(word, safe="") for word in stack.logins[name])
        page.open(f"http://{login}@localhost:{stack.ports[name]}{path}")
    user, password = stack.logins["airflow"]
    page.open(stack.url("airflow"))
    page.find(By.NAME, "username").send_keys(user)
    page.find(By.NAME, "password").send_keys(password)
    page.find(By.XPATH, "//button[.='Sign in']").click()
    page.wait_for("Welcome")
    # What is no page, as the first of them, has no icon.
    page.errors()
    return page


class Page:
    """What a person does with a browser."""

    def __init__(self, browser):
        self.browser = browser

    def open(self, url):
        """Go to a page; again where a container's network that came or went has cut it."""
        try:
            self.browser.get(url)
        except WebDriverException as error:
            if "ERR_NETWORK_CHANGED" not in error.msg:
                raise
            self.browser.get(url)

    def find(self, by, what):
        """An element, once it is there."""
        return wait_until(lambda: self.browser.find_elements(by, what))[0]

    def wait_for(self, text):
        """Wait until a text can be read."""

        def shown():
            try:
                return text in self.browser.find_element(By.TAG_NAME, "body").text
            except StaleElementReferenceException:
                return False

        wait_until(shown)

    def picture(self, name):
        """Keep what is seen now, where somebody wants it."""
        if folder := os.environ.get("SCREENSHOTS"):
            self.browser.save_screenshot(str(Path(folder) / name))

    def errors(self):
        """Errors of the pages since the last look."""
        lines = [each["message"] for each in self.browser.get_log("browser") if each["level"] == "SEVERE"]
        return [line for line in lines if not any(expected in line for expected in EXPECTED)]


def run_ids(stack):
    """Ids of the latest run of each graph."""
    with stack.airflow() as airflow:
        latest = {"order_by": "-run_after", "limit": 1, "state": "success"}
        return {
            dag_id: airflow.get(f"/dags/{dag_id}/dagRuns", params=latest).json()["dag_runs"][0]["dag_run_id"]
            for dag_id in LINKS
        }


def test_both_graphs_a_log_and_every_linked_page_open_without_an_error(stack, page):
    for dag_id, run_id in run_ids(stack).items():
        run = f"{stack.url('airflow')}/dags/{dag_id}/runs/{quote(run_id)}"
        page.open(run)
        page.find(By.CSS_SELECTOR, "[aria-label^='Show Graph']").click()
        wait_until(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, ".react-flow__node")) >= 7)
        page.picture(PICTURES[dag_id])
        assert page.errors() == []
        for task, title in LINKS[dag_id].items():
            page.open(f"{run}/tasks/{task}")
            # A line of the log.
            page.find(By.CSS_SELECTOR, "a[href*='try_number=']")
            page.open(f"{run}/tasks/{task}/details")
            link = page.find(By.LINK_TEXT, title).get_attribute("href")
            assert page.errors() == []
            page.open(link)
            wait_until(lambda: len(page.browser.find_element(By.TAG_NAME, "body").text) > 50)
            assert page.errors() == [], link


def test_every_page_of_the_menu_opens_without_an_error(stack, page):
    page.find(By.XPATH, "//button[.='Plugins']").click()
    entries = wait_until(lambda: page.browser.find_elements(By.CSS_SELECTOR, "a[role=menuitem], [role=menuitem] a"))
    links = {each.text: each.get_attribute("href") for each in entries}
    assert links.keys() == {"MLflow", "Airbyte", "Data docs", "dbt docs"}
    for name, text in (("MLflow", "tagifai"), ("Airbyte", "projects")):
        page.open(links[name] if name == "Airbyte" else f"{links[name]}#/models")
        page.wait_for(text)
        assert page.errors() == [], name
    for name, text in (("Data docs", "labeled_projects"), ("dbt docs", "Overview")):
        page.open(links[name])
        page.browser.switch_to.frame(page.find(By.TAG_NAME, "iframe"))
        page.wait_for(text)
        page.browser.switch_to.default_content()
        assert page.errors() == [], name


def test_the_home_page_shows_every_service_up(stack, page):
    page.open(stack.url("docs"))
    wait_until(lambda: page.browser.find_element(By.TAG_NAME, "body").text.count("Up") >= 3)
    page.picture("home.png")
    assert page.errors() == []
