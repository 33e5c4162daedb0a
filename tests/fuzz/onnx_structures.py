"""Valid ONNX models of the backend suite with their structure damaged, loaded and run.

python onnx_structures.py SEED SECONDS    until so much processor time is spent; prints what went wrong
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import random
import resource
import select
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "formats"))

__all__ = ["main", "mutate"]

HANG = 60  # seconds of one model
LIMIT = 20  # seconds that a run is given: a damaged loop may go on for ever, and must end then
LOADING = 64  # megabytes that loading a model of a few kilobytes may take
_INTEGERS = (0, -1, 1, 2, 3, 7, 64, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63))
_REALS = (0.0, -1.0, 1e38, float("nan"), float("inf"), float("-inf"))
_TEXTS = (b"", b"x", b"linear", b"tanh", b"reflect", b"\xff", b"i,j->ij", b"none", b"max")


def _graphs(graph: Any) -> list[Any]:
    """A graph and those inside its nodes."""
    out = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                out += _graphs(attribute.g)
    return out


def _change_node(node: Any, names: list[str], ops: list[str], dice: random.Random) -> None:
    kind = dice.randrange(8)
    if kind == 0 and node.input:
        node.input[dice.randrange(len(node.input))] = dice.choice(names)
    elif kind == 1 and node.input:
        del node.input[dice.randrange(len(node.input))]
    elif kind == 2:
        node.input.append(dice.choice(names))
    elif kind == 3:
        node.output.append(f"further_{dice.randrange(9)}")
    elif kind == 4 and node.attribute:
        del node.attribute[dice.randrange(len(node.attribute))]
    elif kind in (5, 6) and node.attribute:
        _change_attribute(dice.choice(list(node.attribute)), dice)
    else:
        node.op_type = dice.choice(ops)


def _change_attribute(attribute: Any, dice: random.Random) -> None:
    if attribute.type == 2:
        attribute.i = dice.choice(_INTEGERS)
    elif attribute.type == 7:
        if attribute.ints and dice.random() < 0.6:
            attribute.ints[dice.randrange(len(attribute.ints))] = dice.choice(_INTEGERS)
        elif attribute.ints and dice.random() < 0.5:
            del attribute.ints[dice.randrange(len(attribute.ints))]
        else:
            attribute.ints.append(dice.choice(_INTEGERS))
    elif attribute.type == 1:
        attribute.f = dice.choice(_REALS)
    elif attribute.type == 3:
        attribute.s = dice.choice(_TEXTS)
    elif attribute.type == 4:
        _change_tensor(attribute.t, dice)
    elif attribute.type == 6 and attribute.floats:
        attribute.floats[dice.randrange(len(attribute.floats))] = dice.choice(_REALS)
    else:
        attribute.type = dice.randrange(15)


def _change_tensor(tensor: Any, dice: random.Random) -> None:
    kind = dice.randrange(6)
    if kind == 0 and tensor.dims:
        tensor.dims[dice.randrange(len(tensor.dims))] = dice.choice(_INTEGERS)
    elif kind == 1:
        tensor.dims.append(dice.choice((0, 1, 1, 2)))
    elif kind == 2:
        tensor.data_type = dice.randrange(30)
    elif kind == 3:
        tensor.raw_data = dice.choice((b"", b"\x00" * 8, b"\xff" * 8, tensor.raw_data * 2))
    elif kind == 4 and tensor.int64_data:
        tensor.int64_data[dice.randrange(len(tensor.int64_data))] = dice.choice(_INTEGERS)
    else:
        tensor.data_location = 1
        tensor.external_data.add(key="location", value=dice.choice(("../x", "/etc/passwd", "x", "")))


def _change_value(value: Any, dice: random.Random) -> None:
    dims = value.type.tensor_type.shape.dim
    kind = dice.randrange(6)
    if kind == 0 and dims:
        del dims[dice.randrange(len(dims))]
    elif kind == 1 and dims:
        dims[dice.randrange(len(dims))].dim_value = dice.choice(_INTEGERS)
    elif kind == 2:
        dims.add().dim_value = dice.choice((0, 1, 2))
    elif kind == 3 and dims:
        dims[dice.randrange(len(dims))].dim_param = "n"
    elif kind == 4:
        value.type.tensor_type.elem_type = dice.randrange(30)
    else:
        value.type.ClearField("value")


def mutate(model: Any, ops: list[str], dice: random.Random) -> None:
    """Change one to three things of a model, in place."""
    for _ in range(dice.choice((1, 1, 2, 3))):
        graph = dice.choice(_graphs(model.graph))
        names = [name for g in _graphs(model.graph) for n in g.node for name in (*n.input, *n.output)] + [""]
        kind = dice.randrange(12)
        if kind < 5 and graph.node:
            _change_node(dice.choice(list(graph.node)), names, ops, dice)
        elif kind == 5 and graph.input:
            _change_value(dice.choice(list(graph.input)), dice)
        elif kind == 6 and graph.initializer:
            _change_tensor(dice.choice(list(graph.initializer)), dice)
        elif kind == 7 and len(graph.node) > 1:
            nodes = list(graph.node)
            dice.shuffle(nodes)
            del graph.node[:]
            graph.node.extend(nodes)
        elif kind == 8 and graph.node:
            graph.node.append(dice.choice(list(graph.node)))
        elif kind == 9 and model.opset_import:
            dice.choice(list(model.opset_import)).version = dice.choice((1, 6, 7, 9, 11, 13, 18, 21, 28, 99))
        elif kind == 10 and graph.output:
            graph.output[dice.randrange(len(graph.output))].name = dice.choice(names)
        elif graph.input:
            graph.input.append(dice.choice(list(graph.input)))


def _load_and_run(seed: int, first: int) -> None:
    """Endless: a line before and after each model shows the parent what it died of."""
    import moka.onnx
    import numpy as np
    import onnx
    from mutations import answer_to
    from onnx import numpy_helper
    from onnx_suite import all_cases

    import moka

    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    moka.set_num_threads(1)
    cases, ops = [], set()
    for case in all_cases():
        if case.category == "real":
            continue
        model = case.model()
        ops.update(node.op_type for node in model.graph.node)
        if model.ByteSize() < 20_000:
            cases.append(case)
    names = sorted(ops)
    index = first
    while True:
        dice = random.Random(f"{seed} {index}")
        case = dice.choice(cases)
        model = onnx.ModelProto.FromString(case.model().SerializeToString())
        mutate(model, names, dice)
        print(f"at {index} {case.name}", flush=True)
        answer, before = "ran", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        grown = 0
        try:
            data = model.SerializeToString()
            loaded = moka.onnx.load(data)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
            inputs, _ = case.data_sets(case.model())[0]
            arrays = [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for v in inputs]
            with np.errstate(all="ignore"):
                loaded.run(arrays, timeout=LIMIT)
        except BaseException as error:
            answer = answer_to(error)
        if grown > LOADING:
            answer = f"WRONG loading took {grown} MB"
        spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        print(f"done {spent:.1f} {' '.join(answer.split())[:300]}", flush=True)
        index += 1


def main() -> int:
    """Start one child after the other until the time is spent; 1 when something was wrong."""
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    if len(sys.argv) > 3:
        _load_and_run(seed, int(sys.argv[3]))
    spent, index, counts, wrong = 0.0, 0, Counter(), 0
    while spent < seconds:
        command = [sys.executable, __file__, str(seed), str(seconds), str(index)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        assert child.stdout
        own, at, start = 0.0, "", time.monotonic()
        while spent + own < seconds:
            ready, _, _ = select.select([child.stdout], [], [], HANG if at else 900)
            line = child.stdout.readline().decode() if ready else ""  # unbuffered, as select sees
            if line.startswith("at "):
                at, index = line[3:].strip(), int(line.split()[1]) + 1
            elif line.startswith("done "):
                _, used, answer = line.rstrip().split(" ", 2)
                own = float(used)
                counts[answer.split()[0]] += 1
                if answer.startswith("WRONG"):
                    wrong += 1
                    print(f"{at}: {answer}", flush=True)
            elif not at:
                print(f"the child did not start; '{' '.join(command)}' says why")
                return 1
            else:
                wrong += 1
                print(f"{at}: {'died' if ready else f'took more than {HANG} s'}", flush=True)
                break
        child.kill()
        child.wait()
        spent += own or time.monotonic() - start
    print(f"{sum(counts.values())} models, {spent:.0f} s: {dict(counts)}; wrong: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
