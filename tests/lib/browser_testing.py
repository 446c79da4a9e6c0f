"""Headless Chromium that reaches nothing but this machine."""

import json

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

# Seconds in which a page has to show what is waited for; to read its text takes a browser long, so not all the time.
BOUND, EVERY = 120, 0.5
# What a browser says when a network of its machine comes or goes, as a container's does; how often it is asked again.
CUT, TRIES = "ERR_NETWORK_CHANGED", 10
# What a page that is still being drawn answers.
DRAWING = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
# What chromedriver says, without a class of its own, when the page is left while it reads it.
LEFT = ("does not belong to the document", "aborted by navigation")


class Browser(webdriver.Chrome):
    """What a person does with a browser; `folder` becomes the profile."""

    def __init__(self, folder, chromium, chromedriver):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        for argument in (
            "headless=new",
            # It would not start as root, nor on a small /dev/shm.
            "no-sandbox",
            "disable-dev-shm-usage",
            "disable-background-networking",
            "disable-component-update",
            "no-first-run",
            "no-proxy-server",
            "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            f"user-data-dir={folder}",
            "window-size=1280,900",
        ):
            options.add_argument(f"--{argument}")
        super().__init__(options, webdriver.ChromeService(chromedriver))

    def get(self, url):
        """Go to a page; again where a container's network that came or went has cut it."""
        self.until(lambda: super(Browser, self).get(url) is None)

    def until(self, condition):
        """What `condition` returns once it is true."""

        def tried(_):
            try:
                return condition()
            except WebDriverException as error:
                if any(text in str(error) for text in (CUT, *LEFT)):
                    return False
                raise

        return WebDriverWait(self, BOUND, poll_frequency=EVERY, ignored_exceptions=DRAWING).until(tried)

    def find(self, by, what):
        """An element, once it is there."""
        return self.until(lambda: self.find_element(by, what))

    def click(self, by, what):
        """Click an element, once it can be."""
        self.until(lambda: self.find_element(by, what).click() is None)

    def type(self, by, what, text):
        """Type into a field, once it is there."""
        self.until(lambda: self.find_element(by, what).send_keys(text) is None)

    @property
    def text(self):
        """What can be read."""
        return self.find_element(By.TAG_NAME, "body").text

    def wait_for(self, text):
        """Wait until a text can be read."""
        self.until(lambda: text in self.text)

    def complaints(self):
        """Lines of the console since the last look, without those that only inform."""
        return [entry for entry in self.get_log("browser") if entry["level"] != "INFO"]

    def asked(self):
        """Addresses that were asked for since the last look."""
        events = [json.loads(entry["message"])["message"] for entry in self.get_log("performance")]
        sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        # The rest is the browser's own first page, and what a page holds itself.
        return [url for url in sent if not url.startswith(("chrome", "data:"))]
