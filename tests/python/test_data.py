"""Datasets, samplers, loaders: what comes, in which order, and what an error says."""
# SPDX-License-Identifier: Apache-2.0

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import moka
from moka.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    LoaderError,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
    random_split,
    sample_random,
)


class Noisy(Dataset):
    """Sample i is (i, a random number)."""

    def __init__(self, size=50):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return index, float(sample_random().uniform()[0])


def seeded(dataset, seed=5, **options):
    moka.manual_seed(seed)
    return DataLoader(dataset, **options)


def epochs(loader, count=2):
    return [[(i.tolist(), x.tolist()) for i, x in loader] for _ in range(count)]


def flat(epoch):
    return [pair for i, x in epoch for pair in zip(i, x, strict=True)]


def test_batches_come_in_order():
    loader = DataLoader(TensorDataset(moka.arange(7)), batch_size=3)
    assert [batch[0].tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(loader) == 3


def test_the_last_short_batch_can_be_dropped():
    loader = DataLoader(TensorDataset(moka.arange(7)), batch_size=3, drop_last=True)
    assert [len(batch[0]) for batch in loader] == [3, 3] and len(loader) == 2


def test_shuffling_visits_every_sample_once_and_differently_each_epoch():
    first, second = epochs(seeded(Noisy(), batch_size=8, shuffle=True))
    orders = [[i for i, _ in flat(epoch)] for epoch in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50)) and orders[0] != orders[1]


def test_the_seed_decides_order_and_augmentation():
    options = {"batch_size": 8, "shuffle": True}
    assert epochs(seeded(Noisy(), **options)) == epochs(seeded(Noisy(), **options))
    assert epochs(seeded(Noisy(), **options)) != epochs(seeded(Noisy(), seed=6, **options))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_data_are_the_same_for_any_number_of_workers(workers):
    options = {"batch_size": 8, "shuffle": True}
    assert epochs(seeded(Noisy(), num_workers=workers, **options)) == epochs(seeded(Noisy(), **options))


def test_augmentation_is_new_in_each_epoch_and_the_same_for_any_batch_size():
    first, second = epochs(seeded(Noisy(), batch_size=8))
    assert dict(flat(first)) != dict(flat(second))
    other = epochs(seeded(Noisy(), batch_size=11, num_workers=2), 1)[0]
    assert flat(other) == flat(first)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(workers):
    options = {"batch_size": 8, "shuffle": True, "num_workers": workers}
    whole = epochs(seeded(Noisy(), **options), 3)
    loader = seeded(Noisy(), **options)
    list(loader)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    state = loader.state_dict()
    batches.close()
    resumed = DataLoader(Noisy(), **options)
    resumed.load_state_dict(state)
    assert epochs(resumed, 2) == [whole[1][3:], whole[2]]


def test_a_sampler_of_ones_own_resumes_too():
    def make():
        dataset = Noisy(20)
        return DataLoader(dataset, batch_size=4, sampler=RandomSampler(dataset))

    moka.manual_seed(1)
    loader = make()
    whole = epochs(loader, 2)
    moka.manual_seed(1)
    loader = make()
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    moka.manual_seed(2)
    resumed = make()
    resumed.load_state_dict(state)
    assert epochs(resumed, 2) == [whole[0][1:], whole[1]]


def test_leaving_an_epoch_early_begins_the_next_one():
    options = {"batch_size": 8, "shuffle": True}
    whole = epochs(seeded(Noisy(), **options), 2)
    loader = seeded(Noisy(), **options)
    for _ in loader:
        break
    assert epochs(loader, 1) == whole[1:]


def test_streams_come_once_for_any_number_of_workers():
    class Stream(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            yield from range(0 if info is None else info.id, 10, 1 if info is None else info.num_workers)

    for workers in (0, 1, 3):
        loader = DataLoader(Stream(), batch_size=4, num_workers=workers)
        assert [batch.tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_without_a_batch_size_samples_come_alone():
    assert list(DataLoader(range(3), batch_size=None, collate_fn=lambda sample: sample)) == [0, 1, 2]


def test_custom_collate_and_batch_sampler():
    loader = DataLoader(
        range(5), batch_sampler=BatchSampler([4, 2, 0], 2, False), collate_fn=tuple, num_workers=2
    )
    assert list(loader) == [(4, 2), (0,)] and len(loader) == 2


class Broken(Dataset):
    def __len__(self):
        return 30

    def __getitem__(self, index):
        if index == 17:
            raise KeyError("no such photograph")
        return index


def test_an_error_in_a_worker_names_worker_sample_and_cause():
    with pytest.raises(KeyError, match="no such photograph") as caught:
        list(DataLoader(Broken(), batch_size=5, num_workers=2))
    if sys.version_info >= (3, 11):
        (note,) = caught.value.__notes__
        assert note.startswith("DataLoader: worker ")
        assert note.endswith(", while fetching sample 17 (batch 3) of Broken")


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt])
def test_what_is_no_ordinary_error_is_wrapped(error):
    class Odd(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            raise error("odd")

    with pytest.raises(
        LoaderError, match=rf"while fetching sample 0 \(batch 0\) of Odd: {error.__name__}: odd"
    ):
        list(DataLoader(Odd(), num_workers=1))


def test_without_workers_the_error_itself_comes_with_the_place():
    with pytest.raises(KeyError) as caught:
        list(DataLoader(Broken(), batch_size=5))
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["DataLoader: while fetching sample 17 (batch 3) of Broken"]


def test_an_error_comes_before_batches_that_are_ready():
    class SlowStart(Broken):
        def __getitem__(self, index):
            time.sleep(0.2 if index == 0 else 0)
            return super().__getitem__(index)

    begin = time.monotonic()
    with pytest.raises(KeyError):
        next(iter(DataLoader(SlowStart(), batch_size=5, num_workers=2, prefetch_factor=4)))
    assert time.monotonic() - begin < 5


def test_errors_of_the_start_and_of_the_sampler_are_told():
    def fail(worker):
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk") as caught:
        list(DataLoader(range(3), num_workers=1, worker_init_fn=fail))
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["DataLoader: worker 0, between batches"]

    def order():
        yield 0
        raise ValueError("lost count")

    with pytest.raises(ValueError, match="lost count"):
        list(DataLoader(range(3), sampler=order(), num_workers=2))


def test_a_worker_that_hangs_is_named():
    release = threading.Event()

    class Hanging(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            if index == 5:
                release.wait(30)
            return index

    loader = DataLoader(Hanging(), batch_size=4, num_workers=1, timeout=0.3)
    batches = iter(loader)
    next(batches)
    with pytest.raises(
        LoaderError, match=r"no batch within 0.3 s; worker 0 is on sample 5 \(batch 1\) of Hanging"
    ):
        next(batches)
    release.set()


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("moka-loader")]


def test_no_thread_is_left_behind():
    loader = DataLoader(Noisy(), batch_size=2, num_workers=3)
    list(loader)
    for _ in loader:
        break
    batches = iter(loader)
    next(batches)
    del batches
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not loader_threads()


def test_workers_make_only_so_many_batches_ahead():
    fetched = []

    class Counting(Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, index):
            fetched.append(index)
            return index

    batches = iter(DataLoader(Counting(), batch_size=1, num_workers=2, prefetch_factor=3))
    next(batches)
    time.sleep(0.2)
    assert len(fetched) <= 1 + 6
    batches.close()


INTERRUPTED = """
import sys, time, os, signal
import moka
from moka.data import DataLoader, Dataset
class Slow(Dataset):
    def __len__(self): return 1000
    def __getitem__(self, index):
        time.sleep(0.05)
        return index
for batch in DataLoader(Slow(), batch_size=4, num_workers=2):
    print("batch", flush=True)
"""


def test_ctrl_c_ends_a_loading_program_quickly_with_one_short_traceback():
    program = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test that runs in the background inherits an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    program.stdout.readline()
    begin = time.monotonic()
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=20)
    assert time.monotonic() - begin < 2
    assert program.returncode == -signal.SIGINT or program.returncode == 130
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size must be an int of at least 1"),
        ({"num_workers": -1}, "num_workers must not be negative"),
        ({"shuffle": True, "sampler": [0]}, "sampler or shuffle"),
        ({"prefetch_factor": 2}, "needs num_workers above 0"),
        ({"persistent_workers": True}, "num_workers > 0"),
        ({"batch_size": None, "drop_last": True}, "drop_last needs a batch_size"),
        ({"timeout": -1}, "timeout must not be negative"),
    ],
)
def test_loaders_refuse_options_that_make_no_sense(options, text):
    with pytest.raises(ValueError, match=text):
        DataLoader(range(3), **options)


def test_subsets_concatenations_and_splits():
    data = TensorDataset(moka.arange(10), moka.arange(10) * 2)
    both = ConcatDataset([Subset(data, [1, 3]), data])
    assert len(both) == 12 and [v.item() for v in both[1]] == [3, 6] and both[-1][0].item() == 9
    with pytest.raises(IndexError, match="index 12 is outside 12 samples"):
        both[12]
    parts = random_split(range(10), [0.5, 0.3, 0.2])
    assert [len(part) for part in parts] == [5, 3, 2]
    assert sorted(sample for part in parts for sample in part.indices) == list(range(10))
    with pytest.raises(ValueError, match="do not add up to the 10 samples"):
        random_split(range(10), [5, 6])


def test_tensor_datasets_need_equal_lengths():
    with pytest.raises(AssertionError, match=r"same first size, but have shapes \[2\], \[3\]"):
        TensorDataset(moka.zeros(2), moka.zeros(3))


def test_samplers():
    moka.manual_seed(3)
    assert sorted(RandomSampler(range(6))) == list(range(6))
    draws = list(RandomSampler(range(6), replacement=True, num_samples=600))
    assert len(draws) == 600 and set(draws) == set(range(6))
    assert sorted(SubsetRandomSampler([5, 7, 9])) == [5, 7, 9]
    counts = np.bincount(list(WeightedRandomSampler([1.0, 0.0, 3.0], 4000)), minlength=3)
    assert counts[1] == 0 and abs(counts[2] / 4000 - 0.75) < 0.03
    assert set(WeightedRandomSampler([1.0, 0.0, 3.0], 2, replacement=False)) == {0, 2}
    with pytest.raises(RuntimeError, match="only 2 have a weight above zero"):
        list(WeightedRandomSampler([1.0, 0.0, 3.0], 3, replacement=False))


def test_collate_keeps_the_structure():
    batch = default_collate(
        [(1, {"a": 2.0, "b": "x"}, np.float32(1)), (3, {"a": 4.0, "b": "y"}, np.float32(2))]
    )
    numbers, names, floats = batch
    assert numbers.dtype == moka.int64 and numbers.tolist() == [1, 3]
    assert names["a"].dtype == moka.float64 and names["b"] == ["x", "y"]
    assert floats.dtype == moka.float32
    assert default_collate([moka.zeros(2), moka.ones(2)]).tolist() == [[0, 0], [1, 1]]


def test_collate_names_the_sample_that_does_not_fit():
    with pytest.raises(RuntimeError, match=r"sample 1 of the batch has shape \[3\], the first one \[2\]"):
        default_collate([moka.zeros(2), moka.zeros(3)])
    with pytest.raises(TypeError, match="give the loader a collate_fn"):
        default_collate([object()])


def test_programs_say_how_their_types_are_joined(monkeypatch):
    class Words(str):
        pass

    monkeypatch.setitem(
        moka.data.collate.default_collate_fn_map, Words, lambda batch, collate_fn_map: " ".join(batch)
    )
    assert default_collate([{"w": Words("a"), "n": 1}, {"w": Words("b"), "n": 2}])["w"] == "a b"


def test_data_are_found_under_the_name_of_torch():
    import moka.utils.data

    assert moka.utils.data.DataLoader is DataLoader


def test_samplers_are_generic_types():
    class Pairs(moka.data.Sampler[list[int]]):
        def __iter__(self):
            return iter([[0, 1]])

    assert list(Pairs()) == [[0, 1]]


def test_streams_are_chained_and_datasets_stacked():
    class Count(moka.data.IterableDataset):
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            return iter(range(self.n))

        def __len__(self):
            return self.n

    chained = Count(2) + Count(3)
    assert (list(chained), len(chained)) == ([0, 1, 0, 1, 2], 5)
    with pytest.raises(AssertionError, match="IterableDataset"):
        list(moka.data.ChainDataset([[1]]))
    a, b = moka.arange(4), moka.arange(4) * 2
    stacked = moka.data.StackDataset(moka.data.TensorDataset(a), b)
    assert stacked[1][1].item() == 2 and len(stacked) == 4
    named = moka.data.StackDataset(x=a, y=b)
    assert [batch["y"].tolist() for batch in DataLoader(named, 3)] == [[0, 2, 4], [6]]
    with pytest.raises(ValueError, match="same size"):
        moka.data.StackDataset(a, b[:2])


def test_without_batches_samples_are_converted_and_lists_of_indices_fetched_at_once():
    class Rows(moka.data.Dataset):
        def __getitem__(self, index):
            return {"x": np.asarray(index, np.float32), "name": "row"}

        def __len__(self):
            return 4

    first = next(iter(DataLoader(Rows(), batch_size=None)))
    assert isinstance(first["x"], moka.Tensor) and first["name"] == "row"
    sampler = moka.data.BatchSampler(range(4), 2, False)
    pairs = DataLoader(Rows(), batch_size=None, sampler=sampler, collate_fn=lambda s: s["x"])
    assert [batch.tolist() for batch in pairs] == [[0, 1], [2, 3]]
    assert DataLoader(Rows()).collate_fn is default_collate

    class Several(Rows):
        def __getitems__(self, indices):
            return [moka.tensor(10 * i) for i in indices]

    assert [batch.tolist() for batch in DataLoader(Several(), 3)] == [[0, 10, 20], [30]]


def test_loaders_say_their_type_and_keep_what_they_were_made_of():
    assert DataLoader[int] is not None
    loader = DataLoader(list(range(6)), batch_size=2)
    for name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last"):
        with pytest.raises(ValueError, match=f"{name} should not be set"):
            setattr(loader, name, None)
    loader.collate_fn = list
    assert [*loader] == [[0, 1], [2, 3], [4, 5]]


def test_lists_of_places_strings_and_wrong_samplers():
    rows = moka.data.TensorDataset(moka.arange(10))
    part = moka.data.Subset(moka.data.Subset(rows, [9, 7, 5, 3]), [0, 2])
    assert part[[1, 0]][0].tolist() == [5, 9]
    names = np.array(["a", "b"])
    assert moka.data.default_collate(names) is names
    with pytest.raises(TypeError, match="replacement should be a boolean value"):
        moka.data.RandomSampler(rows, replacement=0)


def test_a_loader_has_samplers_whatever_it_was_given():
    from moka.data import BatchSampler, IterableDataset, SequentialSampler

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(5))

    batches = BatchSampler(range(4), 2, False)
    given = DataLoader(range(4), batch_sampler=batches)
    assert isinstance(given.sampler, SequentialSampler) and given.batch_sampler is batches
    stream = DataLoader(Stream(), batch_size=2)
    assert isinstance(stream.batch_sampler, BatchSampler) and next(iter(stream.sampler)) is None
    assert [batch.tolist() for batch in stream] == [[0, 1], [2, 3], [4]]
