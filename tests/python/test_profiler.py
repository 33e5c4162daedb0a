"""Profiles: operators, their parts and backward, steps of graphs, marks, schedules, tables, trace files."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import json

import pytest
from moka.profiler import profile, record_function, schedule, tensorboard_trace_handler

import moka
from moka import nn


@pytest.fixture(autouse=True)
def limits(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MOKA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def train_step():
    moka.manual_seed(0)
    layer = nn.Linear(4, 3)
    layer(moka.ones(2, 4)).relu().sum().backward()


def test_operators_are_recorded_forward_and_backward():
    with profile(record_shapes=True, with_flops=True) as prof:
        train_step()
    found = {event.key: event for event in prof.key_averages()}
    assert {"linear", "relu", "sum", "linear_backward_weight"} <= set(found)
    linear = next(event for event in prof.events() if event.name == "linear")
    assert linear.input_shapes[:2] == [[2, 4], [3, 4]] and linear.flops == 2 * 2 * 4 * 3
    assert found["relu"].kernel == "formula" and found["relu"].count == 1
    moka.ones(2) + 1  # nothing is recorded any more
    assert len(prof.events()) == sum(event.count for event in found.values())


def test_what_lies_inside_counts_once():
    with profile() as prof, record_function("part"):
        moka.ones(8, 8).logsumexp([0, 1])
        (moka.ones(300, 300) @ moka.ones(300, 300)).std()
    part = next(event for event in prof.events() if event.name == "part")
    std = next(event for event in prof.events() if event.name == "std")
    assert part.is_user_annotation and std in part.cpu_children
    assert [child.name for child in std.cpu_children] == ["var", "sqrt"] and std.kernel == "composite"
    total = sum(event.self_cpu_time_total for event in prof.events())
    assert total == pytest.approx(part.cpu_time_total)
    assert part.self_cpu_time_total < part.cpu_time_total


def test_memory_and_lines_are_kept_on_request():
    with profile(profile_memory=True, with_stack=True) as prof:
        moka.zeros(256).add(1.0)
    add = next(event for event in prof.events() if event.name == "add")
    assert add.cpu_memory_usage == 1024
    assert add.stack[0].startswith("test_profiler.py:")
    table = prof.key_averages(group_by_stack_n=1).table(sort_by="cpu_memory_usage")
    assert "1.00 KB" in table and "Source Location" in table


def test_steps_of_graphs_are_recorded():
    traced = moka.jit.trace(nn.Sequential(nn.Linear(4, 3), nn.Tanh()).eval(), moka.ones(2, 4))
    with profile() as prof:
        traced(moka.ones(2, 4))
    assert {"linear", "tanh"} <= {event.name for event in prof.events()}
    text = prof.summary(by="step")
    assert "in linear of 0 (test_profiler.py:" in text and "float32[2, 4]" in text


def test_summaries_compare_with_the_machine():
    a = moka.ones(400, 400)
    with profile(record_shapes=True) as prof:
        (a @ a).exp()
    text = prof.summary(row_limit=1)
    row = next(line for line in text.splitlines() if line.startswith(("matmul", "exp")))
    assert "%" in row and "... and" in text
    assert "FLOP/s of float32" in text
    machine = moka.profiler.machine_limits()
    assert machine["flop_per_second"] > 1e8 and machine["bytes_per_second"] > 1e7 and machine["threads"] >= 1


def test_tables_are_sorted_and_cut():
    with profile() as prof:
        for _ in range(3):
            moka.ones(4).neg()
        moka.ones(4).abs()
    averages = prof.key_averages()
    lines = averages.table(sort_by="count", row_limit=2).splitlines()
    assert lines[1].split()[:3] == ["Name", "Self", "CPU"] and "# of Calls" in lines[1]
    assert {lines[3].split()[0], lines[4].split()[0]} == {"ones", "neg"}
    assert "Self CPU time total:" in lines[-1]
    assert averages.total_average().count == sum(event.count for event in averages)
    with pytest.raises(AttributeError):
        averages.table(sort_by="beauty")


def test_schedules_choose_steps(tmp_path):
    seen = []

    def ready(prof):
        seen.append((prof.step_num, sum(event.name == "neg" for event in prof.events())))

    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready) as prof:
        for _ in range(12):
            moka.ones(2).neg()
            prof.step()
    assert seen == [(4, 2), (8, 2)]
    assert [e.name for e in prof.events() if e.is_user_annotation] == ["ProfilerStep#6", "ProfilerStep#7"]
    with pytest.raises(AssertionError, match="active at least 1"):
        schedule(wait=0, warmup=0, active=0)


def test_trace_files_open_in_viewers(tmp_path):
    with moka.profile(str(tmp_path / "t.json")), record_function("outer"):
        moka.ones(64, 64).matmul(moka.ones(64, 64))
    rows = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    calls = [row for row in rows if row["ph"] == "X"]
    assert {"outer", "matmul"} <= {row["name"] for row in calls}
    matmul = next(row for row in calls if row["name"] == "matmul")
    assert (
        matmul["args"]["flop"] == 2 * 64**3 and matmul["args"]["shapes"] == "float32[64, 64], float32[64, 64]"
    )
    assert all(row["dur"] >= 0 and row["ts"] >= 0 for row in calls)
    assert any(row["ph"] == "C" and row["args"]["bytes"] > 0 for row in rows)
    handler = tensorboard_trace_handler(str(tmp_path / "board"), "me", use_gzip=True)
    with profile(on_trace_ready=handler) as prof:
        prof.add_metadata("run", "7")
        moka.ones(2)
    (file,) = (tmp_path / "board").iterdir()
    assert file.name.startswith("me.") and file.name.endswith(".pt.trace.json.gz")
    assert json.loads(gzip.open(file).read())["metadata"] == {"run": "7"}


def test_marks_may_be_decorators_and_profiles_are_alone_in_a_thread():
    @record_function("twice")
    def twice(x):
        return x + x

    with profile() as prof:
        twice(moka.ones(2))
        with pytest.raises(RuntimeError, match="this thread is profiled already"), profile():
            pass
    assert next(event for event in prof.key_averages() if event.key == "twice").count == 1
    with profile(enabled=False) as none:
        moka.ones(2)
    assert list(none.events()) == [] and none.key_averages().table() == ""


def test_errors_leave_the_profile_running():
    with profile() as prof:
        with pytest.raises(RuntimeError):
            moka.ones(2).add(moka.ones(3))
        moka.ones(2).neg()
    assert "neg" in {event.name for event in prof.events()}
    moka.ones(2).neg()
