"""Training and validation samples: what a worker process makes of one image.

The randomness of a sample is a function of (seed, epoch, position in the data) alone, so neither the number of workers
nor an interruption changes it. Where several processes train, each makes its share of the same batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pindet_serve.images import Image
from pindet_serve.letterbox import Boxes, Letterbox, Placement
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pindet.data.prepared import PreparedSplit
from pindet.models.contract import Target
from pindet.models.parallel import rank, ranks, share
from pindet.models.predictor import to_batch
from pindet.training.augmentation import Augmentation

CACHE_BYTES = 2**30
"""Pixels that one process keeps decoded."""
ORDER, SAMPLE = 0, 1
"""Streams of random numbers that one seed gives."""


class Draw(NamedTuple):
    """One sample to make."""

    epoch: int
    position: int


class Fitted(NamedTuple):
    """A letterboxed image uint8 ``[H, W, 3]`` and where the original lies in it."""

    image: Image
    placement: Placement


class Sample(NamedTuple):
    """An augmented image uint8 ``[H, W, 3]``, its boxes ``[M, 4]`` xyxy in its pixels and their labels."""

    epoch: int
    image: Image
    boxes: Boxes
    labels: NDArray[np.int64]


class Batch(NamedTuple):
    """Images uint8 ``[N, 3, H, W]`` of one epoch with their objects."""

    epoch: int
    images: Tensor
    targets: list[Target]


class EpochSampler(Sampler[Draw]):
    """Every position once, in an order that seed and epoch give; Lightning sets the epoch."""

    def __init__(self, length: int, seed: int) -> None:
        self._length = length
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Draw]:
        order = generator(self._seed, ORDER, self._epoch).permutation(self._length)
        return (Draw(self._epoch, int(position)) for position in order)


class SharedBatches(Sampler[list[Draw]]):
    """Batches of draws, of each of which a process is given its share.

    An incomplete last batch is left out unless it is the only one.

    Args:
        sampler: gives the draws.
        batch_size: of the whole batch, whatever the number of processes.

    Attributes:
        sampler: as given; Lightning looks for it.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        self.sampler = sampler
        self._batch_size = min(batch_size, len(sampler))

    def __len__(self) -> int:
        return len(self.sampler) // self._batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        return (batch[share(len(batch))] for batch in self.whole())

    def whole(self) -> Iterator[list[Draw]]:
        """The batches as all processes together have them; of the epoch that is set when the first one is asked for."""
        draws = iter(self.sampler)
        for _ in range(len(self)):
            yield list(itertools.islice(draws, self._batch_size))


class ValidationBatches(Sampler[list[int]]):
    """Batches of positions in order; each process has a row of them, as many as the others, empty ones at the end."""

    def __init__(self, length: int, batch_size: int) -> None:
        self._batches = [list(range(start, min(start + batch_size, length))) for start in range(0, length, batch_size)]

    def __len__(self) -> int:
        return -(-len(self._batches) // ranks())

    def __iter__(self) -> Iterator[list[int]]:
        own = self._batches[rank() * len(self) : (rank() + 1) * len(self)]
        return iter(own + [[]] * (len(self) - len(own)))


class FittedImages(Dataset[Fitted]):
    """The letterboxed images of a split; as many as fit into :data:`CACHE_BYTES` are decoded only once."""

    def __init__(self, split: PreparedSplit, letterbox: Letterbox) -> None:
        self._split = split
        self._letterbox = letterbox
        self._kept: dict[int, Fitted] = {}
        self._room = CACHE_BYTES

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, position: int) -> Fitted:
        if position in self._kept:
            return self._kept[position]
        fitted = Fitted(*self._letterbox(self._split.image(position)))
        if fitted.image.nbytes <= self._room:
            self._room -= fitted.image.nbytes
            self._kept[position] = fitted
        return fitted


class TrainingSamples(Dataset[Sample]):
    """Augmented samples of a split."""

    def __init__(self, split: PreparedSplit, letterbox: Letterbox, augmentation: Augmentation, seed: int) -> None:
        self._split = split
        self._images = FittedImages(split, letterbox)
        self._augmentation = augmentation
        self._seed = seed

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, draw: Draw) -> Sample:
        frame, placement = self._images[draw.position]
        top, left = placement.top, placement.left
        image = frame[top : top + placement.resized_height, left : left + placement.resized_width]
        boxes = placement.to_letterboxed(self._split.boxes(draw.position)) - np.array([left, top] * 2, np.float32)
        rng = generator(self._seed, SAMPLE, draw.epoch, draw.position)
        changed, moved, kept = self._augmentation(image, boxes, frame.shape[0], frame.shape[1], rng)
        return Sample(draw.epoch, changed, moved, self._split.labels(draw.position)[kept])


def training_loader(samples: TrainingSamples, batch_size: int, seed: int, workers: int) -> DataLoader[Sample]:
    """This process's share of the batches of every epoch, in its own order; see :class:`SharedBatches`."""
    return DataLoader(
        samples,
        batch_sampler=SharedBatches(EpochSampler(len(samples), seed), batch_size),
        collate_fn=_batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
        generator=torch.Generator(),  # its own: the workers' seeds are not drawn from the global one
    )


def validation_loader(images: FittedImages, batch_size: int) -> DataLoader[Fitted]:
    """Batches of letterboxed images in order, each a list of :class:`Fitted`; loaded in this process, once."""
    batches = ValidationBatches(len(images), batch_size)
    return DataLoader(images, batch_sampler=batches, collate_fn=list, generator=torch.Generator())


def generator(seed: int, *key: int) -> np.random.Generator:
    """Random numbers that are a function of seed and key."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def _batch(samples: Sequence[Sample]) -> Batch:
    targets = [Target(torch.from_numpy(sample.boxes), torch.from_numpy(sample.labels)) for sample in samples]
    return Batch(samples[0].epoch, to_batch([sample.image for sample in samples]), targets)


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)
