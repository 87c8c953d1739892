"""A pytest plugin for openai-python's own suite: its clients show the key in `SLUICE_KEY`, if there is one."""

import os
import sys

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems():
    # The suite's key is a constant of its conftest, which the fixtures read when the first test asks for a client.
    key = os.environ.get("SLUICE_KEY")
    if key:
        conftest = sys.modules["tests.conftest"]
        conftest.api_key = conftest.admin_api_key = key
