"""Data pipes under torch's names; the shuffled orders are torch's."""
# SPDX-License-Identifier: Apache-2.0

from tests.python.test_compat_torch import inside

BEGINNING = """
import random
import pytest
from torch.utils.data import DataLoader, IterDataPipe, MapDataPipe, functional_datapipe
from torch.utils.data.datapipes.iter import IterableWrapper
from torch.utils.data.datapipes.map import SequenceWrapper

def numbers(count):
    return IterableWrapper(range(count))
"""


def test_functions_chain():
    inside(
        BEGINNING
        + """
@functional_datapipe("plus")
class Plus(IterDataPipe):
    def __init__(self, source, value=1):
        self.source, self.value = source, value

    def __iter__(self):
        return (entry + self.value for entry in self.source)

pipe = numbers(10).map(lambda x: x * 2).filter(lambda x: x % 4 == 0).plus(3).batch(2)
assert list(pipe) == [[3, 7], [11, 15], [19]]
assert list(pipe.unbatch()) == [3, 7, 11, 15, 19]
assert len(numbers(5).batch(2)) == 3 and len(numbers(5).batch(2, drop_last=True)) == 2
with pytest.raises(AttributeError, match="object has no attribute 'nothing'"):
    pipe.nothing()
with pytest.raises(TypeError, match="Filter instance doesn't have valid length"):
    len(numbers(3).filter(bool))
with pytest.raises(Exception, match="already taken"):
    functional_datapipe("map")(Plus)
with pytest.raises(TypeError, match="can only decorate"):
    functional_datapipe("other")(int)
"""
    )


def test_columns():
    inside(
        BEGINNING
        + """
rows = IterableWrapper([(1, 2, 3), (4, 5, 6)])
assert list(rows.map(lambda a: -a, input_col=1)) == [(1, -2, 3), (4, -5, 6)]
assert list(rows.map(lambda a, b: a + b, input_col=[0, 2])) == [(4, 2), (10, 5)]
assert list(rows.map(lambda a: a, input_col=0, output_col=-1)) == [(1, 2, 3, 1), (4, 5, 6, 4)]
named = IterableWrapper([{"a": 1, "b": 2}])
assert list(named.map(lambda a: a + 1, input_col="a", output_col="c")) == [{"a": 1, "b": 2, "c": 2}]
assert list(rows.filter(lambda a: a > 2, input_col=1)) == [(4, 5, 6)]
"""
    )


def test_several_pipes():
    inside(
        BEGINNING
        + """
first, second = numbers(4).fork(2)
assert list(first.zip(second)) == [(0, 0), (1, 1), (2, 2), (3, 3)] and len(first) == 4
even, odd = numbers(6).demux(2, lambda x: x % 2)
assert list(even) == [0, 2, 4] and list(odd) == [1, 3, 5]
assert list(numbers(2).concat(numbers(1))) == [0, 1, 0]
assert list(numbers(3).mux(IterableWrapper([7, 8]))) == [0, 7, 1, 8]
assert list(numbers(5).groupby(lambda x: x % 2, group_size=2)) == [[0, 2], [1, 3], [4]]
assert list(numbers(5).groupby(lambda x: x % 2, keep_key=True)) == [(0, [0, 2, 4]), (1, [1, 3])]
with pytest.raises(BufferError, match="buffer overflow"):
    list(numbers(5).fork(2, buffer_size=2)[0])
with pytest.raises(ValueError, match="between 0 and 1. 2 is returned"):
    list(numbers(3).demux(2, lambda x: x)[0])
"""
    )


def test_order_and_shares():
    inside(
        BEGINNING
        + """
expected = random.Random(5)
left, wanted = list(range(6)), []
while left:
    wanted.append(left.pop(expected.randint(0, len(left) - 1)))
assert list(numbers(6).shuffle().set_seed(5)) == wanted
assert list(numbers(6).shuffle().set_shuffle(False)) == list(range(6))
share = numbers(5).sharding_filter()
share.apply_sharding(2, 1)
assert list(share) == [1, 3] and len(share) == 2
"""
    )


def test_collections():
    inside(
        BEGINNING
        + """
pipe = SequenceWrapper([1, 2, 3]).map(lambda x: x + 1)
assert isinstance(pipe, MapDataPipe) and pipe[0] == 2 and len(pipe) == 3
assert list(pipe.batch(2)[1]) == [4] and pipe.zip(pipe)[1] == (3, 3)
assert pipe.concat(pipe)[4] == 3
assert list(pipe.shuffle().set_seed(1)) == [pipe[i] for i in random.Random(1).sample(range(3), 3)]
"""
    )


def test_loader_decides_the_order():
    inside(
        BEGINNING
        + """
pipe = numbers(8).shuffle()
assert [batch.tolist() for batch in DataLoader(pipe, 4, shuffle=False)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
with pytest.warns(UserWarning, match="does not contain a `Shuffler`"):
    loader = DataLoader(numbers(8), batch_size=None, shuffle=True)
orders = [[int(entry) for entry in loader] for _ in range(2)]
assert all(sorted(order) == list(range(8)) for order in orders) and orders[0] != orders[1]
"""
    )
