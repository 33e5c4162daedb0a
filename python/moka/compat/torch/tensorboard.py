"""torch.utils.tensorboard: SummaryWriter, which writes what TensorBoard shows."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import socket
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moka.utils import summaries
from moka.utils.event_files import EventFile

if TYPE_CHECKING:
    from typing import Self

__all__ = ["FileWriter", "SummaryWriter"]


class FileWriter(EventFile):
    """An event file, as torch names it."""

    def __init__(
        self, log_dir: Any, max_queue: int = 10, flush_secs: int = 120, filename_suffix: str = ""
    ) -> None:
        super().__init__(log_dir, filename_suffix)


class SummaryWriter:
    """Writes scalars, histograms, pictures and texts into event files of a folder.

    Args:
        log_dir: the folder; without it runs/DATE_TIME_HOST and the comment.
        comment: added to the name of the folder where none is given.
        purge_step: what other files of the folder hold from this step on is void.
        max_queue, flush_secs: kept for calls' sake; events go to the file's buffer at once.
        filename_suffix: added to the names of files.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            moment = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = Path("runs") / f"{moment}_{socket.gethostname()}{comment}"
        self.log_dir = str(log_dir)
        self.purge_step, self._suffix = purge_step, filename_suffix
        self.file_writer: Any = None
        self.all_writers: dict[str, FileWriter] | None = None
        self._get_file_writer()

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None or self.all_writers is None:
            self.file_writer = FileWriter(self.log_dir, filename_suffix=self._suffix)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                self.file_writer.purge_after(self.purge_step)
                self.purge_step = None
        return self.file_writer

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def _add(self, summary: bytes, step: Any, walltime: float | None) -> None:
        self._get_file_writer().add_summary(summary, None if step is None else int(step), walltime)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """One number."""
        self._add(summaries.scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: dict[str, Any],
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers of one chart, each in a file of its own."""
        walltime = time.time() if walltime is None else walltime
        folder = self._get_file_writer().get_logdir()
        assert self.all_writers is not None
        for tag, value in tag_scalar_dict.items():
            place = f"{folder}/{main_tag.replace('/', '_')}_{tag}"
            if place not in self.all_writers:
                self.all_writers[place] = FileWriter(place, filename_suffix=self._suffix)
            summary = summaries.scalar(main_tag, value)
            self.all_writers[place].add_summary(summary, global_step, walltime)

    def add_tensor(
        self, tag: str, tensor: Any, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """A tensor of numbers."""
        content = summaries._value(tag, summaries.tensor_floats(summaries.as_numpy(tensor)))
        self._add(content, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How often values lie in which range."""
        self._add(summaries.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(
        self,
        tag: str,
        min: Any,
        max: Any,
        num: Any,
        sum: Any,
        sum_squares: Any,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """A histogram that was counted elsewhere."""
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
        counted = (min, max, num, sum, sum_squares, bucket_limits, bucket_counts)
        self._add(summaries.raw_histogram(tag, *counted), global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture; floats from 0 to 1, bytes from 0 to 255."""
        self._add(summaries.image(tag, img_tensor, dataformats=dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Several pictures, side by side."""
        self._add(summaries.image(tag, img_tensor, dataformats=dataformats), global_step, walltime)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """A picture with red frames at [left, top, right, bottom]; labels need Pillow."""
        pixels = summaries.image_of(img_tensor, dataformats).copy()
        for left, top, right, bottom in summaries.as_numpy(box_tensor).astype(int):
            pixels[[top, bottom], left : right + 1] = pixels[top : bottom + 1, [left, right]] = (255, 0, 0)
        self._add(summaries.image(tag, pixels, rescale, "HWC"), global_step, walltime)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: Any = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib, or several."""
        figures = figure if isinstance(figure, list) else [figure]
        pictures = []
        for one in figures:
            one.canvas.draw()
            pictures.append(np.asarray(one.canvas.buffer_rgba())[..., :3])
            if close:
                import matplotlib.pyplot as plt

                plt.close(one)
        if isinstance(figure, list):
            return self.add_images(tag, np.stack(pictures), global_step, walltime, "NHWC")
        self.add_image(tag, pictures[0], global_step, walltime, "HWC")

    def add_video(self, tag: str, vid_tensor: Any, *_: Any, **__: Any) -> None:
        """Refused: films are written by packages of their own."""
        raise NotImplementedError(f"add_video: {tag!r}: Moka writes no films; use add_images")

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: Any = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """A sound of one channel, numbers from -1 to 1."""
        self._add(summaries.audio(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Text, shown as Markdown."""
        self._add(summaries.text(tag, text_string), global_step, walltime)

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """Refused: Moka's graphs are no TorchScript graphs; `moka.jit.trace` shows them as text."""
        raise NotImplementedError(
            "add_graph: Moka draws no graphs of models for TensorBoard; print(moka.jit.trace(...)) shows them"
        )

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: Any = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Vectors for the projector: rows of tab-separated numbers, their labels and pictures."""
        vectors = summaries.as_numpy(mat)
        if vectors.ndim != 2:
            raise AssertionError("mat should be 2D, where mat.size(0) is the number of data points")
        step = 0 if global_step is None else int(global_step)
        name = f"{step:05d}/{tag}"
        folder = Path(self.log_dir) / name
        folder.mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / "tensors.tsv", vectors, fmt="%.8g", delimiter="\t")
        lines = [f'  tensor_name: "{tag}:{step:05d}"', f'  tensor_path: "{name}/tensors.tsv"']
        if metadata is not None:
            if len(metadata) != len(vectors):
                raise AssertionError("#labels should equal with #data points")
            rows = [metadata_header, *metadata] if metadata_header else metadata
            written = "\n".join("\t".join(map(str, row)) if metadata_header else str(row) for row in rows)
            (folder / "metadata.tsv").write_text(written + "\n", encoding="utf-8")
            lines.append(f'  metadata_path: "{name}/metadata.tsv"')
        if label_img is not None:
            pictures = summaries.as_numpy(label_img)
            if len(pictures) != len(vectors):
                raise AssertionError("#images should equal with #data points")
            side = int(np.ceil(len(pictures) ** 0.5))
            fill = np.zeros((side * side - len(pictures), *pictures.shape[1:]), pictures.dtype)
            whole = summaries._grid(np.concatenate([pictures, fill]), side)
            (folder / "sprite.png").write_bytes(summaries.png(summaries.image_of(whole, "CHW")))
            lines.append(f'  sprite {{\n    image_path: "{name}/sprite.png"')
            lines.append(f"    single_image_dim: {pictures.shape[3]}")
            lines.append(f"    single_image_dim: {pictures.shape[2]}\n  }}")
        with (Path(self.log_dir) / "projector_config.pbtxt").open("a", encoding="utf-8") as file:
            file.write("embeddings {\n" + "\n".join(lines) + "\n}\n")

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision and recall at thresholds from 0 to 1."""
        curve = summaries.pr_curve(tag, labels, predictions, num_thresholds, weights)
        self._add(curve, global_step, walltime)

    def add_custom_scalars(self, layout: dict[str, dict[str, Any]]) -> None:
        """Charts of several scalars: {category: {chart: ["Multiline" or "Margin", [tags]]}}."""
        self._add(summaries.custom_scalars(layout), None, None)

    def add_custom_scalars_multilinechart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """One chart of several lines."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """One line between two others: its tag, that of the lower and that of the upper one."""
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: Any = None,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Points in space, with colours and faces where given."""
        self._add(summaries.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, Any] | None = None,
        run_name: str | None = None,
        global_step: Any = None,
    ) -> None:
        """Settings of a run and what came of them, in a folder of their own below log_dir."""
        three = summaries.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        folder = str(Path(self.log_dir) / (run_name or str(time.time())))
        with SummaryWriter(folder) as inner:
            for summary in three:
                inner._add(summary, None, None)
            for tag, value in metric_dict.items():
                inner.add_scalar(tag, value, global_step)

    def flush(self) -> None:
        """Make what was written visible to readers."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Flush and close all files."""
        for writer in (self.all_writers or {}).values():
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
