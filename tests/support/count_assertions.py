"""A pytest plugin that counts executed assertions: ``cd tests; pytest -p support.count_assertions``.

It prints, for each test file, the tests that passed and the ``assert`` statements that ran and held in them, those of
``tests/support`` included. NumPy's own ``assert_array_equal`` and the like are no such statements and are not counted.
``--assertions-to FILE`` writes the count of each test as JSON, for a comparison of two runs.
"""

from __future__ import annotations

import collections
import json
from pathlib import Path

_held: collections.Counter[str] = collections.Counter()  # test -> number of assertions
_passed: set[str] = set()


def pytest_addoption(parser):
    parser.addoption("--assertions-to", metavar="FILE", help="write how many assertions each test executed, as JSON")


def pytest_assertion_pass(item):
    """pytest calls this for each assertion that holds, since pyproject.toml asks it to."""
    _held[item.nodeid] += 1


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        _passed.add(report.nodeid)


def pytest_terminal_summary(terminalreporter, config):
    tests: collections.Counter[str] = collections.Counter()
    assertions: collections.Counter[str] = collections.Counter()
    for test in _passed:
        file = test.split("::")[0]
        tests[file] += 1
        assertions[file] += _held[test]
    terminalreporter.section("executed assertions", sep="-")
    for file in sorted(tests):
        terminalreporter.write_line(f"{assertions[file]:9,} assertions  {tests[file]:6,} tests  {file}")
    terminalreporter.write_line(f"{assertions.total():9,} assertions  {tests.total():6,} tests")
    if config.getoption("--assertions-to"):
        counts = {test: _held[test] for test in sorted(_passed)}
        Path(config.getoption("--assertions-to")).write_text(json.dumps(counts, indent=0))
