"""Several processes of one program: stores, groups and their operations, training with averaged gradients."""
# SPDX-License-Identifier: Apache-2.0

import subprocess
import sys
import textwrap
from datetime import timedelta

import pytest

from moka import distributed

HEAD = """
import sys, moka
from moka import distributed as dist, nn
rank, size = int(sys.argv[1]), int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=size)
"""


def together(program, folder, size=3):
    """Run a program in several processes; what they print, in order."""
    text = HEAD + textwrap.dedent(program) + "\ndist.destroy_process_group()\n"
    commands = [[sys.executable, "-c", text, str(i), str(size), str(folder / "store")] for i in range(size)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen(command, text=True, **pipes) for command in commands]
    told = [process.communicate(timeout=100) for process in running]
    assert all(process.returncode == 0 for process in running), told
    return [out.strip() for out, _ in told]


def test_operations_of_all_processes(tmp_path):
    told = together(
        """
        x = moka.arange(5.0) + rank
        dist.all_reduce(x)
        assert x.tolist() == [3, 6, 9, 12, 15]
        y = moka.tensor([rank + 1, 2], dtype=moka.int64)
        dist.all_reduce(y, dist.ReduceOp.MAX)
        assert y.tolist() == [3, 2]
        rows = [moka.zeros(2) for _ in range(size)]
        dist.all_gather(rows, moka.full((2,), float(rank)))
        assert [row[0].item() for row in rows] == [0, 1, 2]
        b = moka.tensor([float(rank)]).bfloat16()
        dist.broadcast(b, 1)
        assert b.item() == 1
        part = moka.zeros(1)
        dist.scatter(part, [moka.tensor([10.0 * i]) for i in range(size)] if rank == 0 else None, 0)
        assert part.item() == 10 * rank
        out = moka.zeros(1)
        dist.reduce_scatter(out, [moka.tensor([float(i)]) for i in range(size)])
        assert out.item() == 3 * rank
        values = [None] * size
        dist.all_gather_object(values, {"rank": rank})
        assert values[2] == {"rank": 2}
        if rank == 0:
            dist.send(moka.tensor([7.0]), 2)
        if rank == 2:
            box = moka.zeros(1)
            assert dist.recv(box) == 0 and box.item() == 7
        few = dist.new_group([0, 2])
        z = moka.ones(1)
        dist.all_reduce(z, group=few)
        dist.barrier()
        print(z.item(), dist.get_rank(few), dist.get_world_size())
        """,
        tmp_path,
    )
    assert told == ["2.0 0 3", "1.0 -1 3", "2.0 1 3"]


def test_processes_that_disagree_are_told(tmp_path):
    told = together(
        """
        try:
            dist.all_reduce(moka.ones(2 + rank))
        except RuntimeError as error:
            print(error)
        """,
        tmp_path,
        2,
    )
    assert "runs 'all_reduce float32[2] sum' but process 1 runs 'all_reduce float32[3] sum'" in told[0]


def test_gradients_are_averaged(tmp_path):
    told = together(
        """
        moka.manual_seed(rank)
        model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(2, 3), nn.SyncBatchNorm(3)))
        x = moka.randn(4, 2)
        model(x).pow(2).mean().backward()
        with model.no_sync():
            model(x).sum().backward()
        model(x).sum().backward()
        print([p.grad.sum().item() for p in model.parameters()], model.module[1].running_mean.tolist())
        """,
        tmp_path,
        2,
    )
    assert told[0] == told[1] != ""


def test_stores(tmp_path):
    for store in (
        distributed.HashStore(),
        distributed.FileStore(str(tmp_path / "values")),
        distributed.TCPStore("127.0.0.1", 0, 1, True),
    ):
        store.set("a", "1")
        assert store.get("a") == b"1" and store.add("n", 2) == 2 and store.add("n", 3) == 5
        assert store.compare_set("a", "1", "2") == b"2" and store.compare_set("a", "9", "3") == b"2"
        assert distributed.PrefixStore("p", store).add("n", 1) == 1 and store.check(["p/n"])
        assert store.delete_key("a") and not store.delete_key("a")
        with pytest.raises(RuntimeError, match="timed out"):
            store.wait(["missing"], timedelta(milliseconds=20))


def test_groups_must_exist():
    assert distributed.is_available() and not distributed.is_initialized()
    with pytest.raises(ValueError, match="not been initialized"):
        distributed.get_rank()
    with pytest.raises(RuntimeError, match="'nccl' is not there"):
        distributed.init_process_group("nccl", rank=0, world_size=1)
