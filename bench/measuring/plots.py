"""The figures as pictures, PNG and SVG, in docs/."""

from collections.abc import Mapping, Sequence
from typing import Any

from measuring.figures import Figures
from measuring.machine import ROOT

OURS, OTHERS = "#c2410c", "#94a3b8"
PANELS = (
    ("S3 us a chunk", "CPU for a chunk, µs\n(500 streams, 20 ms apart)"),
    ("S1 first p50 ms", "first content, ms\n(one stream, p50)"),
    ("S0 ms a request", "CPU for a streamed request, ms"),
    ("S5 KiB a stream", "memory for a stream, KiB\n(2 000 held)"),
)


def relays(figures: dict[str, Figures]) -> None:
    """Four panels of bars, one bar a relay; less is better in each."""
    plt = _pyplot()
    picture, panels = plt.subplots(1, len(PANELS), figsize=(13, 0.9 + 0.42 * len(figures)), constrained_layout=True)
    for panel, (name, title) in zip(panels, PANELS, strict=True):
        shown = {target: own[name] for target, own in figures.items() if own.get(name)}
        bars(panel, list(shown), [value or 0 for value in shown.values()], title)
    _save(picture, "relays")


def distance(rows: Mapping[str, Sequence[float]], kinds: Sequence[str], round_trip_ms: float) -> None:
    """First content of a far upstream, grouped by kind of call."""
    plt = _pyplot()
    picture, panels = plt.subplots(1, len(kinds), figsize=(13, 0.9 + 0.42 * len(rows)), constrained_layout=True)
    for at, (panel, kind) in enumerate(zip(panels, kinds, strict=True)):
        bars(panel, list(rows), [values[at] for values in rows.values()], f"first content, ms\n({kind})")
        panel.axvline(round_trip_ms, color="black", linewidth=0.8, linestyle=":")
    _save(picture, "distance")


def bars(panel: Any, names: Sequence[str], values: Sequence[float], title: str) -> None:
    """Horizontal bars with their values; Parley's stands out."""
    colours = [OURS if name.startswith("parley") else OTHERS for name in names]
    drawn = panel.barh(names, values, color=colours)
    panel.bar_label(drawn, labels=[f"{value:.3g}" for value in values], padding=3, fontsize=8)
    panel.invert_yaxis()
    panel.margins(x=0.25)
    panel.set_title(title, fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)


def _pyplot() -> Any:
    import matplotlib  # here, because only who draws needs it

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "parley"  # the same figures make the same file
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text, and the file small
    from matplotlib import pyplot

    return pyplot


def _save(picture: Any, name: str) -> None:
    picture.savefig(ROOT / "docs" / f"{name}.png", dpi=110)
    picture.savefig(ROOT / "docs" / f"{name}.svg", metadata={"Date": None})
