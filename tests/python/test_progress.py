"""The progress bar: what it shows, and when it is silent."""
# SPDX-License-Identifier: Apache-2.0

import io
import sys

import moka


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)  # as if it were not installed


def test_nothing_is_printed_when_nobody_watches():
    stream = io.StringIO()
    assert list(moka.progress(range(3), file=stream)) == [0, 1, 2]
    assert stream.getvalue() == ""


def test_on_a_terminal_the_last_line_shows_the_whole(monkeypatch):
    plain(monkeypatch)
    stream = Terminal()
    bar = moka.progress(range(4), desc="epoch 1", file=stream)
    for _ in bar:
        bar.set_postfix(loss=0.25)
    last = stream.getvalue().rstrip("\n").split("\r")[-1]
    assert last.startswith("epoch 1 100% |") and " 4/4 " in last and last.rstrip().endswith("loss=0.25")
    assert stream.getvalue().endswith("\n")


def test_force_decides_over_the_terminal(monkeypatch):
    plain(monkeypatch)
    shown, hidden = io.StringIO(), Terminal()
    list(moka.progress(range(2), file=shown, force=True))
    list(moka.progress(range(2), file=hidden, force=False))
    assert "2/2" in shown.getvalue() and hidden.getvalue() == ""


def test_steps_can_be_counted_by_hand(monkeypatch):
    plain(monkeypatch)
    stream = Terminal()
    with moka.progress(total=10, unit="file", file=stream) as bar:
        bar.update(10)
    assert "10/10" in stream.getvalue() and "file/s" in stream.getvalue() and len(bar) == 10


def test_an_unknown_total_is_counted_without_a_bar(monkeypatch):
    plain(monkeypatch)
    stream = Terminal()
    list(moka.progress(iter(range(5)), desc="lines", file=stream))
    assert "lines 5 " in stream.getvalue() and "|" not in stream.getvalue()


def test_tqdm_is_used_where_it_is_installed(monkeypatch):
    calls = []
    fake = type(sys)("tqdm")
    fake.tqdm = lambda iterable, **options: calls.append(options) or iterable
    monkeypatch.setitem(sys.modules, "tqdm", fake)
    assert list(moka.progress(range(2), desc="x", file=Terminal())) == [0, 1]
    assert calls[0]["desc"] == "x"
