"""idx files, image datasets, augmentation."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import struct

import numpy as np
import pytest

from moka.data import (
    MNIST,
    Compose,
    DataLoader,
    Digits,
    FashionMNIST,
    IdxError,
    ImageDataset,
    Normalize,
    RandomHorizontalFlip,
    RandomShift,
    SampleRandom,
    read_idx,
)

IMAGES = np.arange(5 * 6 * 4, dtype=np.uint8).reshape(5, 6, 4)


def idx(values, code=8):
    return (
        struct.pack(">BBBB", 0, 0, code, values.ndim)
        + struct.pack(f">{values.ndim}I", *values.shape)
        + (values.astype(values.dtype.newbyteorder(">")).tobytes())
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("dtype", "code"), [("u1", 8), ("i2", 0x0B), ("f4", 0x0D), ("f8", 0x0E)])
def test_idx_files_are_read_packed_or_plain(tmp_path, pack, dtype, code):
    values = (np.arange(24).reshape(2, 3, 4) * 3).astype(dtype)
    (tmp_path / "file").write_bytes(pack(idx(values, code)))
    found = read_idx(tmp_path / "file")
    assert found.dtype == values.dtype and (found == values).all()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "not an idx file: it begins with nothing"),
        (b"\x01\x02\x03\x04", "not an idx file: it begins with 01 02 03 04"),
        (b"\0\0\x08\x03\0\0", "cut short inside its header of 3 sizes"),
        (idx(IMAGES)[:-1], r"shape \[5, 6, 4\] needs 120 bytes of data, but 119 are there"),
        (idx(IMAGES) + b"x", "but there are more"),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "announces"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 2**31), "needs 2147483648 bytes of data, but 0 are there"),
        (gzip.compress(idx(IMAGES))[:-20], "gzip data are damaged or cut short"),
        (gzip.compress(idx(IMAGES))[:-6] + b"\0" * 6, "gzip data are damaged or cut short"),
    ],
)
def test_damaged_idx_files_are_refused_by_name(tmp_path, data, text):
    path = tmp_path / "train-images"
    path.write_bytes(data)
    with pytest.raises(IdxError, match=text) as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path))


def write_set(folder, images=IMAGES, labels=None, part="t10k"):
    labels = np.arange(len(images), dtype=np.uint8) if labels is None else labels
    (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
    (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


def test_a_collection_is_read_from_a_folder(tmp_path):
    write_set(tmp_path)
    data = MNIST(tmp_path, train=False)
    image, label = data[2]
    assert len(data) == 5 and label == 2 and tuple(image.shape) == (1, 6, 4)
    assert image.numpy() == pytest.approx(IMAGES[2][None] / 255)
    assert repr(data) == "MNIST(5 images of 6x4, 10 classes)"


def test_missing_files_say_where_was_looked(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=f"FashionMNIST: train-images-idx3-ubyte.gz is in none of: {tmp_path}"
    ):
        FashionMNIST(tmp_path)
    with pytest.raises(FileNotFoundError, match="dataset-fashion-mnist"):
        FashionMNIST(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (IMAGES, np.zeros(4, np.uint8), "5 labels are needed"),
        (IMAGES, np.full(5, 10, np.uint8), "label 10 is outside 10 classes"),
        (IMAGES[0], None, "images must be bytes of rank 3"),
    ],
)
def test_images_and_labels_must_fit(tmp_path, images, labels, text):
    write_set(tmp_path, images, labels)
    with pytest.raises(IdxError, match=text):
        FashionMNIST(tmp_path, train=False)


def test_whole_batches_are_the_samples_stacked():
    data = ImageDataset(IMAGES, np.arange(5), transform=Compose([RandomShift(1), Normalize(0.5, 0.5)]))
    batches = list(DataLoader(data, batch_size=5))
    singles = list(DataLoader(data, batch_size=5, collate_fn=lambda samples: samples))
    assert tuple(batches[0][0].shape) == (5, 1, 6, 4) and batches[0][1].tolist() == [0, 1, 2, 3, 4]
    assert len(singles[0]) == 5 and tuple(singles[0][0][0].shape) == (1, 6, 4)


def test_shifts_move_each_image_by_its_own_amount():
    images = np.zeros((200, 5, 5), np.uint8)
    images[:, 2, 2] = 9
    moved = RandomShift(1)(images, SampleRandom(0, 0, range(200)))
    places = {tuple(map(int, place)) for place in np.argwhere(moved)[:, 1:]}
    assert places == {(r, c) for r in (1, 2, 3) for c in (1, 2, 3)} and (moved.sum((1, 2)) == 9).all()


def test_what_comes_in_at_the_border_is_the_fill():
    moved = RandomShift(2, fill=7)(np.zeros((100, 4, 4), np.uint8), SampleRandom(0, 0, range(100)))
    assert set(np.unique(moved)) == {0, 7}
    assert set(np.unique(RandomShift(0, fill=7)(IMAGES, SampleRandom(0, 0, range(5))) == IMAGES)) == {True}


def test_flips_mirror_some_images():
    random = SampleRandom(1, 0, range(5))
    flipped = RandomHorizontalFlip()(IMAGES, random)
    kinds = [(f == image[:, ::-1]).all() for f, image in zip(flipped, IMAGES, strict=True)]
    assert all((f == image).all() or k for f, image, k in zip(flipped, IMAGES, kinds, strict=True))
    assert (RandomHorizontalFlip(1.0)(IMAGES, random) == IMAGES[:, :, ::-1]).all()
    assert (RandomHorizontalFlip(0.0)(IMAGES, random) == IMAGES).all()


def test_normalization():
    values = Normalize(0.3, 0.2)(IMAGES)
    assert values.dtype == np.float32 and values.shape == (5, 1, 6, 4)
    np.testing.assert_allclose(values[:, 0], (IMAGES / 255 - 0.3) / 0.2, atol=1e-6)


def test_random_numbers_of_samples_are_uniform_and_independent_of_the_batch():
    random = SampleRandom(3, 1, range(20000))
    values = random.uniform()
    assert 0 <= values.min() and values.max() < 1 and abs(values.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(values, random.uniform())[0, 1]) < 0.03
    assert SampleRandom(3, 1, [17]).uniform()[0] == values[17]
    assert SampleRandom(3, 2, [17]).uniform()[0] != values[17]
    counts = np.bincount(SampleRandom(4, 0, range(30000)).integers(0, 3))
    assert len(counts) == 3 and counts.min() > 9700


def test_digits_are_read_from_the_table_of_scikit_learn(tmp_path):
    rows = [[v % 17 for v in range(i, i + 64)] + [i % 10] for i in range(10)]
    text = "\n".join(",".join(f"{v:.1f}" for v in row) for row in rows)
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(text.encode()))
    train, test = Digits(tmp_path), Digits(tmp_path, train=False)
    assert len(train) == 8 and len(test) == 2 and test.labels.tolist() == [4, 9]
    assert train.images[0, 0].tolist() == [0, 16, 32, 48, 64, 80, 96, 112] and train.images.max() == 255
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(b"1,2,3\n"))
    with pytest.raises(IdxError, match="not the table of digits"):
        Digits(tmp_path)
