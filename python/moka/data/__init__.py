"""Data: datasets, samplers, loaders with threads, readers of image collections, augmentation."""
# SPDX-License-Identifier: Apache-2.0

from .augment import Compose, Normalize, RandomHorizontalFlip, RandomShift
from .collate import default_collate, default_convert
from .dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from .idx import IdxError, read_idx
from .images import MNIST, Digits, FashionMNIST, ImageDataset
from .loader import DataLoader
from .randomness import SampleRandom
from .sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .workers import LoaderError, WorkerInfo, get_worker_info, sample_random

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "Compose",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "DistributedSampler",
    "FashionMNIST",
    "IdxError",
    "ImageDataset",
    "IterableDataset",
    "LoaderError",
    "MNIST",
    "Normalize",
    "RandomHorizontalFlip",
    "RandomSampler",
    "RandomShift",
    "SampleRandom",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
    "read_idx",
    "sample_random",
]
