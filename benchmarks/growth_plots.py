"""The plots of `benchmarks.growth`: one message each, axes with units, from zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over one axis."""

    file: str
    title: str
    """The plotted quantity, over the title of the plot."""
    x: str
    y: str
    xs: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    """The lines by label; a single one needs no legend."""
    log_x: bool = False


def draw(plots: Sequence[Plot], directory: Path) -> None:
    """Write each plot as a PNG file."""
    directory.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=120, layout="constrained")
        for label, ys in plot.lines.items():
            axes.plot(plot.xs, ys, marker="o", label=label)
        if plot.log_x:
            axes.set_xscale("log")
        axes.set_xticks(list(plot.xs), [f"{x:,}" for x in plot.xs])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_title(plot.title, loc="left")
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(plot.lines) > 1:
            axes.legend(frameon=False)
        # Without the version and the date: the same figures give the same file.
        figure.savefig(directory / plot.file, metadata={"Software": None})
        plt.close(figure)
