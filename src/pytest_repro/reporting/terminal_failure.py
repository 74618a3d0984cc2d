"""A test's failure on the terminal: laid out by the process that has it, for its width, verbosity and colours.

Everything else gets the whole text without colours: JUnit's file, other plugins, a file that the output goes to.
"""

from __future__ import annotations

from typing import Any

import pytest
from _pytest._code.code import ReprEntry, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from pytest_repro.model.text import escape_lines
from pytest_repro.reporting.parts import Message, Part, plain

#: Name of the section of a report that has what is known beyond pytest's own text of a failure.
SECTION = "pytest-repro"


class TerminalFailure(ReprExceptionInfo):
    """pytest's representation of a failure, by the parts of its message.

    Parameters
    ----------
    whole : ReprExceptionInfo
        The whole text.
    message : Message
    config : pytest.Config
        Of the process that has the terminal.
    """

    def __init__(self, whole: ReprExceptionInfo, message: Message, config: pytest.Config) -> None:
        super().__init__(reprtraceback=whole.reprtraceback, reprcrash=whole.reprcrash)
        self.sections: list[tuple[str, str, str]] = list(whole.sections)
        self._message = message
        self._config = config

    def __str__(self) -> str:
        return str(self._message)

    def toterminal(self, tw: Any) -> None:
        """Write the message to pytest's terminal, or all of it to another writer."""
        if tw is not self._config.get_terminal_writer():
            tw.line(str(self))
            return
        if self._config.getoption("tbstyle", "auto") == "line":
            return  # pytest writes the line
        for line in self._message.lay_out(tw.fullwidth, is_verbose=_is_verbose(self._config)):
            for text, styles in line:
                tw.write(text, **dict.fromkeys(styles, True))
            tw.line()
        for name, content, separator in self.sections:
            tw.sep(separator, name)
            tw.line(content)


def _is_verbose(config: pytest.Config) -> bool:
    # As for assertions, so that pytest's option verbosity_assertions holds here too.
    return config.get_verbosity(pytest.Config.VERBOSITY_ASSERTIONS) > 0


def set_failure(report: pytest.TestReport, message: Message) -> None:
    """Give a report whose failure is a text the parts of it."""
    report.repro_parts = [message.to_json(), []]  # type: ignore[attr-defined]


def add_section(report: pytest.TestReport, message: Message) -> None:
    """Add a message to a report, below pytest's own text of the failure."""
    report.sections.append((SECTION, str(message)))
    report.repro_section = message.to_json()  # type: ignore[attr-defined]


def show_parts(report: pytest.TestReport, config: pytest.Config) -> None:
    """Let a report's failure, and its section of this plugin, be laid out for the terminal."""
    if (section := getattr(report, "repro_section", None)) is not None:
        message = Message(tuple(map(Part.from_json, section)))
        lines = message.lay_out(config.get_terminal_writer().fullwidth, is_verbose=_is_verbose(config))
        text, whole = "\n".join(map(plain, lines)), str(message)
        # Another section of this plugin may say why a failure is not accepted.
        report.sections = [(name, text if content == whole else content) for name, content in report.sections]
    found = getattr(report, "repro_parts", None)
    if found is None:
        return
    parts, notes = found
    longrepr = report.longrepr
    if parts is None:
        heading, _, rest = escape_lines(str(longrepr)).partition("\n")
        own, extra = [Part("heading", text=heading)], [rest] if rest else []
    else:
        own, extra = list(map(Part.from_json, parts)), [escape_lines(str(note)) for note in notes]
    message = Message((*own, *(Part("text", "whole", text) for text in extra)))
    if isinstance(longrepr, str):
        path, line, _ = report.location
        entry = ReprEntry(longrepr.splitlines(), None, None, None, "value")
        crash = ReprFileLocation(path, (line or 0) + 1, message.summary)
        longrepr = ReprExceptionInfo(reprtraceback=ReprTraceback([entry], None, "value"), reprcrash=crash)
    if isinstance(longrepr, ReprExceptionInfo):
        report.longrepr = TerminalFailure(longrepr, message, config)
