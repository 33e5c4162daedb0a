"""Keeping and comparing the optimized texts of networks."""
# SPDX-License-Identifier: Apache-2.0

import replay
import replay_models


def test_every_network_is_optimized_the_same_twice(tmp_path):
    texts = replay.optimized_texts()
    assert len(texts) == len(replay_models.MODELS) == 20
    replay.save(tmp_path, texts)
    assert replay.compare(tmp_path, replay.optimized_texts()) == ([], 0)


def test_changes_are_told_by_operator_and_by_line(tmp_path):
    text = (
        "graph a(%x: float32[2]) {\n  %0: float32[2] = relu(%x)\n  %1: float32[2] = neg(%0)\n  return %1\n}\n"
    )
    replay.save(tmp_path, {"a": text, "b": text})
    after = {"a": text.replace("relu", "tanh"), "b": text, "c": text}
    lines, changed = replay.compare(tmp_path, after)
    assert changed == 2
    assert lines[0] == "a: 2 -> 2 nodes; relu 1 -> 0, tanh 0 -> 1"
    assert lines[1] == "c: 0 -> 2 nodes; neg 0 -> 1, relu 0 -> 1"
    assert "+  %0: float32[2] = tanh(%x)" in replay.compare(tmp_path, after, whole=True)[0]
