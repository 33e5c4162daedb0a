"""Every mistake of the tables ends with exactly the text that stands there."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re

import pytest

from .catalogue import Entry, differs, outcome, read_table, tables
from .programs import names

ENTRIES = [entry for table in tables() for entry in read_table(table)]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_the_text_is_the_one_in_the_table(entry: Entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = outcome(entry, tmp_path, names(tmp_path))
    where = f"tests/errors/{entry.area}.txt:{entry.line}"
    assert not differs(entry.expected, found), (
        f"{where}: {entry.title}\n\n{entry.program}\n\nthe table says\n{entry.expected}\n\nit was\n{found}"
    )


# What no text may hold: numbers of enumerations, names of C++, apologies for a bug that the user made.
FORBIDDEN = (
    "internal error",
    "please report",
    "std::",
    "nullptr",
    "0x",
    "basic_string",
    "vector::",
    "moka::",
)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_the_text_is_one_for_users(entry: Entry):
    kind, _, text = entry.expected.partition(": ")
    assert text and not any(word in text for word in FORBIDDEN)
    assert re.fullmatch(r"[\w.]+|exit [12]\n(moka( info)?|usage)", kind), kind
    assert kind not in ("SystemError", "Exception")
    assert kind != "AssertionError" or ", got " in text  # PyTorch's type for a few arguments
    assert len(re.findall(r"\w+", text)) >= 3


def test_the_catalogue_is_not_getting_smaller():
    assert len(ENTRIES) >= 600
