"""What ./dev reads from logs and closing lines: times of layers, counts of tests."""
# SPDX-License-Identifier: Apache-2.0

import build_times
import header_sizes
import pytest
from count_tests import Count

LOG = """# ninja log v5
0\t1500\t0\tmoka/ops/CMakeFiles/moka_ops.dir/linear/matmul.cpp.o\tabc
0\t500\t0\tmoka/base/CMakeFiles/moka_base.dir/text.cpp.o\tdef
1500\t1700\t0\tmoka/ops/libmoka_ops.a\t123
1700\t1900\t0\tlib/libmoka.so\t456
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / ".ninja_log"
    path.write_text(LOG)
    return path


def test_times_are_added_up_by_layer_slowest_first(log):
    lines = build_times.table(build_times.read_log(log)).splitlines()
    assert lines[1].split() == ["moka/ops", "2", "1.7", "moka/ops/linear/matmul.cpp.o", "1.5"]
    assert [line.split()[0] for line in lines[2:]] == ["moka/base", "libraries"]


def test_only_what_was_built_since_is_read(log):
    offset = log.stat().st_size
    with log.open("a") as file:
        file.write("5\t10\t0\tmoka/base/libmoka_base.a\t789\n")
    assert build_times.read_log(log, offset) == {"moka/base/libmoka_base.a": 0.005}


def test_a_log_that_ninja_rewrote_is_read_from_its_beginning(log):
    assert len(build_times.read_log(log, offset=10**6)) == 4


def test_a_missing_log_has_no_times(tmp_path):
    assert build_times.read_log(tmp_path / "none") == {}


def count_of(ctest=None, pytest_=None) -> tuple[int, int, int]:
    count = Count()
    if ctest:
        count.read_ctest(*ctest)
    if pytest_:
        count.read_pytest(*pytest_)
    return count.passed, count.failed, count.skipped


def test_ctest_lines_are_read():
    assert count_of(ctest=(0, "100% tests passed, 0 tests failed out of 12\n")) == (12, 0, 0)
    assert count_of(ctest=(8, "75% tests passed, 1 tests failed out of 4\n")) == (3, 1, 0)
    skipped = (
        "100% tests passed, 0 tests failed out of 4\n\nThe following tests did not run:\n\t 2 - a (Skipped)\n"
    )
    assert count_of(ctest=(0, skipped)) == (3, 0, 1)


def test_pytest_lines_are_read():
    assert count_of(pytest_=(0, "...\n30 passed, 2 skipped, 1 deselected in 0.52s\n")) == (30, 0, 2)
    assert count_of(pytest_=(1, "1 failed, 29 passed, 2 errors in 3.10s (0:00:03)\n")) == (29, 3, 0)


def test_a_crash_without_closing_line_counts_as_failure():
    assert count_of(ctest=(8, "Segmentation fault")) == (0, 1, 0)
    assert count_of(pytest_=(139, "Fatal Python error")) == (0, 1, 0)


def test_the_closing_line_adds_both():
    count = Count()
    count.read_ctest(0, "100% tests passed, 0 tests failed out of 12\n")
    count.read_pytest(0, "30 passed, 2 skipped in 0.52s\n")
    assert count.line() == "moka: 42 passed, 0 failed, 2 skipped"


def test_cases_by_mode_are_added_up():
    count = Count()
    assert count.table() == ""
    text = "=== operator table, cases by mode ===\nmode second derivative: 7 cases\nmode strided: 12 cases\n"
    count.read_pytest(0, text + "19 passed in 0.52s\n")
    count.read_pytest(0, "mode strided: 1 cases\n1 passed in 0.02s\n")
    assert count.table().split("\n") == [
        "cases by mode: 20",
        "  second derivative       7",
        "  strided                13",
    ]


def test_header_sizes_count_what_is_included(tmp_path):
    (tmp_path / "a.h").write_text("int a;\n")
    (tmp_path / "b.h").write_text('#include "a.h"\nint b;\nint c;\n')
    assert header_sizes.preprocessed_lines(tmp_path, "b.h") == 3
