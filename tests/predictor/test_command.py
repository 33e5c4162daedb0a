"""The moka command as a user meets it: what it prints, writes and answers to mistakes."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import pty
import re
import subprocess
import zipfile

import numpy as np
import pytest

from .conftest import CLASSIFIER, write_package


def array(path, values):
    np.save(path, np.asarray(values))
    return path


@pytest.fixture
def images(tmp_path):
    """Ten rows of input."""
    values = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)
    return array(tmp_path / "images.npy", values), values


# ---- info


def test_info_says_what_a_model_is(moka, classifier):
    assert moka("info", classifier).stdout == (
        f"{classifier}: Moka package, graph main\n"
        "inputs\n"
        "  x  float32[batch, 4]\n"
        "outputs\n"
        "  scores  float32[batch, 3]\n"
        "operators: 2\n"
        "  linear      1          24 FLOP\n"
        "  relu        1           3 FLOP\n"
        "parameters: 15 in 2 tensors, 60 B\n"
        "arithmetic: 27 FLOP for one run, free sizes taken as 1\n"
        "author: tests\n"
    )


def test_info_as_json(moka, classifier):
    told = json.loads(moka("info", classifier, "--json").stdout)
    assert told["format"] == "Moka package"
    assert told["inputs"] == [{"name": "x", "type": "float32[batch, 4]"}]
    assert told["outputs"] == [{"name": "scores", "type": "float32[batch, 3]"}]
    assert told["operators"]["linear"] == {"count": 1, "flop": 24}
    assert told["parameter_elements"] == 15 and told["parameter_bytes"] == 60
    assert told["flop_complete"] is True
    assert told["metadata"] == {"author": "tests"}


def test_info_writes_a_page(moka, classifier, tmp_path):
    shown = moka("info", classifier, "--page", "graph.html").stdout
    page = (tmp_path / "graph.html").read_text()
    assert shown.startswith("graph.html: ") and page.startswith("<!DOCTYPE html>")
    data = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert [node["op"] for node in data["main"]["nodes"]] == ["get", "get", "linear", "relu"]
    assert {state["name"] for state in data["states"]} == {"weight", "bias"}


# ---- profile


def test_profile_shows_steps_and_operators(moka, classifier, tmp_path, monkeypatch):
    monkeypatch.setenv("MOKA_CACHE", str(tmp_path / "cache"))
    shown = moka("profile", classifier, "--random", "--batch", 5, "--repeat", 3, "--trace", "t.json").stdout
    steps, operators = shown.split("\noperators\n")
    assert steps.startswith("steps\noperator") and "float32[5, 4], float32[3, 4]" in steps
    assert re.search(r"^linear\S* +\S+ +3 ", operators, re.MULTILINE) and "FLOP/s of float32" in operators
    assert "3 runs without profiling: median " in shown
    rows = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert any(row["name"].startswith("linear") and row["args"]["kernel"] for row in rows)


def test_profile_as_json(moka, classifier, images, tmp_path, monkeypatch):
    monkeypatch.setenv("MOKA_CACHE", str(tmp_path / "cache"))
    told = json.loads(moka("profile", classifier, "-i", images[0], "--json", "--no-optimize").stdout)
    assert told["runs"] == 10 and told["machine"]["flop_per_second"] > 1e7
    linear = next(step for step in told["steps"] if step["operator"] == "linear")
    assert linear["flop"] == 2 * 10 * 4 * 3 and linear["calls"] == 1 and linear["seconds"] > 0
    assert linear["bytes"] == 4 * (40 + 12 + 3 + 30) and linear["made_bytes"] == 120
    assert {row["operator"] for row in told["operators"]} == {"linear", "relu"}


# ---- run


def test_run_writes_what_the_model_answers(moka, classifier, images, scores, tmp_path):
    path, values = images
    shown = moka("run", classifier, "-i", path, "-o", "out.npy").stdout
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), scores(values), atol=1e-5)
    assert shown.startswith("scores: float32[10, 3], least ")


def test_the_model_may_stand_behind_its_options(moka, classifier, images):
    assert "float32[10, 3]" in moka("run", "-i", images[0], classifier).stdout


@pytest.mark.parametrize("batch", [1, 3, 5, 10, 11])
def test_batches_are_joined(moka, classifier, images, scores, tmp_path, batch):
    path, values = images
    moka("run", classifier, "--input", f"x={path}", "--output", "scores=out.npy", "--batch", batch)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), scores(values), atol=1e-5)


def test_accuracy_is_told_when_labels_are_given(moka, classifier, images, scores, tmp_path):
    path, values = images
    right = scores(values).argmax(1)
    labels = right.copy()
    labels[:3] = (labels[:3] + 1) % 3
    shown = moka("run", classifier, "-i", path, "-l", array(tmp_path / "labels.npy", labels)).stdout
    assert "accuracy: 0.7000 (7 of 10)" in shown


def test_json_has_every_figure(moka, classifier, images, tmp_path):
    path, _ = images
    labels = array(tmp_path / "labels.npy", np.zeros(10, np.int64))
    words = "--json --repeat 3 --threads 1 --batch 4".split()
    told = json.loads(moka("run", classifier, "-i", path, "-l", labels, *words).stdout)
    assert told["outputs"][0]["name"] == "scores" and told["outputs"][0]["shape"] == [10, 3]
    assert told["total"] == 10 and told["accuracy"] == told["right"] / 10
    assert told["repeat"] == 3 and told["threads"] == 1 and told["rows"] == 10
    assert 0 < told["least_seconds"] <= told["median_seconds"]


def test_random_inputs_need_no_file(moka, classifier):
    assert "float32[7, 3]" in moka("run", classifier, "--random", "--batch", 7, "--repeat", 2).stdout


def test_other_number_types_are_converted_aloud(moka, classifier, scores, tmp_path):
    values = np.arange(8).reshape(2, 4)
    result = moka("run", classifier, "-i", array(tmp_path / "x.npy", values), "-o", "out.npy")
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), scores(values.astype(np.float32)), atol=1e-5)
    assert "input x: converted from int64 to float32" in result.stderr


def test_fortran_order_and_big_endian_inputs(moka, classifier, images, scores, tmp_path):
    _, values = images
    for other in (np.asfortranarray(values), values.astype(">f4")):
        moka("run", classifier, "-i", array(tmp_path / "x.npy", other), "-o", "out.npy")
        np.testing.assert_allclose(np.load(tmp_path / "out.npy"), scores(values), atol=1e-5)


def test_a_trace_names_the_operators(moka, classifier, images, tmp_path):
    moka("run", classifier, "-i", images[0], "--profile", "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())
    events = events["traceEvents"] if isinstance(events, dict) else events
    assert any("linear" in event.get("name", "") for event in events)


def test_a_progress_bar_stands_on_terminals_only(build, moka, classifier, images):
    assert moka("run", classifier, "-i", images[0], "--batch", 1).stderr == ""
    main, side = pty.openpty()
    command = [build / "bin" / "moka", "run", classifier, "-i", images[0], "--batch", "1"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=side, check=True, timeout=60)
    os.close(side)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert "100%" in shown and "10/10" in shown and shown.endswith("\r\x1b[K")


# ---- convert


def test_every_format_becomes_every_other(moka, classifier, images, scores, tmp_path):
    path, values = images
    moka("convert", classifier, "model.onnx")
    moka("convert", "model.onnx", "predict_net.pb")
    assert (tmp_path / "init_net.pb").exists()
    moka("convert", "predict_net.pb", "again.moka")
    for model in ("model.onnx", "predict_net.pb", "again.moka"):
        moka("run", model, "-i", path, "-o", "out.npy")
        np.testing.assert_allclose(np.load(tmp_path / "out.npy"), scores(values), atol=1e-5)
    moka("convert", classifier, "weights.safetensors")
    moka("convert", classifier, "graph.txt")
    assert "linear(" in (tmp_path / "graph.txt").read_text()


def test_our_packages_open_with_pythons_zip(moka, classifier, tmp_path):
    moka("convert", classifier, "again.moka")
    with zipfile.ZipFile(tmp_path / "again.moka") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "program.txt", "weights.safetensors"]
        assert json.loads(archive.read("manifest.json"))["main"] == "main"
        assert archive.read("program.txt").startswith(b"moka-ir ")


# ---- help and mistakes


def test_ops_lists_what_a_small_build_must_hold(moka, classifier):
    names = moka("info", classifier, "--ops").stdout.split()
    assert {"linear", "relu"} <= set(names)


def test_help_teaches(moka):
    page = moka("--help").stdout
    for word in ("run", "info", "convert", "Examples:", "Exit codes:"):
        assert word in page
    assert "--labels" in moka("run", "--help").stdout
    assert re.fullmatch(r"moka \d+\.\d+\.\d+\n", moka("--version").stdout)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "a command is needed: run, profile, info, build or convert"),
        (("fly",), "no command 'fly'; there are run, test, profile, info, build and convert"),
        (("run",), "model"),
        (("run", "MODEL"), "no --input was given"),
        (("run", "MODEL", "-i", "a.npy", "-i", "b.npy"), "the model has only 1: x"),
        (("run", "MODEL", "--random", "--batch", "0"), "--batch"),
        (("convert", "MODEL", "model.tar"), "none of .moka, .onnx"),
    ],
)
def test_wrong_usage_ends_with_2(moka, classifier, words, part):
    result = moka(*(classifier if word == "MODEL" else word for word in words), code=2)
    assert part in result.stderr and result.stdout == ""


def test_errors_end_with_1_and_name_the_file(moka, classifier, images, tmp_path):
    assert "missing.moka: cannot be opened: No such file" in moka("info", "missing.moka", code=1).stderr
    (tmp_path / "text.moka").write_text("hello")
    assert "text.moka: is neither" in moka("info", "text.moka", code=1).stderr
    cut = tmp_path / "cut.moka"
    cut.write_bytes(classifier.read_bytes()[:-30])
    assert "cut.moka" in moka("run", cut, "--random", code=1).stderr
    wide = array(tmp_path / "wide.npy", np.zeros((2, 5), np.float32))
    message = moka("run", classifier, "-i", wide, code=1).stderr
    assert "x" in message and "[2, 5]" in message
    labels = array(tmp_path / "labels.npy", np.zeros(3, np.int64))
    assert "--labels" in moka("run", classifier, "-i", images[0], "-l", labels, code=1).stderr
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}], object), allow_pickle=True)
    assert "never unpickled" in moka("run", classifier, "-i", objects, code=1).stderr


def test_an_output_that_cannot_be_written_is_an_error(moka, classifier, images):
    result = moka("run", classifier, "-i", images[0], "-o", "no/such/folder/out.npy", code=1)
    assert "out.npy" in result.stderr


def test_newer_packages_ask_for_an_update(moka, tmp_path):
    write_package(tmp_path / "new.moka", CLASSIFIER, {}, format=2)
    assert "update Moka" in moka("info", "new.moka", code=1).stderr
    write_package(tmp_path / "needs.moka", CLASSIFIER, {}, needs=["holograms"])
    assert "needs 'holograms'" in moka("info", "needs.moka", code=1).stderr
