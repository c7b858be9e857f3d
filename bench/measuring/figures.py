"""From what was measured to what is told: medians over the rounds, and a target's figures by name."""

import statistics
from typing import Any

from measuring.scenarios import LEAVING, Result

Figures = dict[str, float | None]
"""A missing name was not measured; None: it does not happen, as an upstream that is never closed."""


def median(results: list[Any]) -> Any:
    """The results of several rounds as one: the median of every number; of lists, all that is in them."""
    if isinstance(results[0], dict):
        return {name: median([result[name] for result in results]) for name in results[0]}
    if isinstance(results[0], list):
        return [value for result in results for value in result]
    if isinstance(results[0], int | float):
        return statistics.median(results)
    return next((result for result in results if result), "")


def of_target(results: dict[str, Result]) -> Figures:
    """The figures of one target from its results by scenario."""
    told: Figures = {}
    for name, make in _FIGURES.items():
        if name in results:
            told |= {f"{name} {figure}": value for figure, value in make(results[name]).items()}
    for kind in LEAVING if "leave" in results else ():
        taken = results["leave"][kind]
        told[f"leave {kind} ms"] = None if None in taken else max(taken)
    asked = [result for name, result in results.items() if name != "leave"]
    told["altered"] = sum(result["altered"] for result in asked)
    told["wrong"] = sum(sum(result["wrong"].values()) for result in asked)
    return told


def added_to_direct(figures: dict[str, Figures], target: str, name: str) -> float | None:
    """What a target adds to asking the upstream itself; None where one of them was not measured."""
    own, direct = figures[target].get(name), figures.get("direct", {}).get(name)
    return None if own is None or direct is None else own - direct


def _cost(result: Result) -> Figures:
    """What the target spent, and how busy both cores were."""
    cpu, seconds = result["target_cpu"], result["seconds"]
    told: Figures = {
        "target busy %": 100 * cpu / seconds,
        "target waited %": 100 * result["target_waited"] / seconds,
        "tools busy %": 100 * (result["cpu_seconds"] + result["upstream_cpu"]) / seconds,
        "ms a request": 1e3 * cpu / max(result["answers"], 1),
        "seconds": seconds,
    }
    if result["chunks"]:
        told["us a chunk"] = 1e6 * cpu / result["chunks"]
        told["tools us a chunk"] = 1e6 * (result["cpu_seconds"] + result["upstream_cpu"]) / result["chunks"]
    return told


def _stream(result: Result) -> Figures:
    times = {f"{kind} {share} ms": result[kind][share] for kind in ("first", "relay") for share in ("p50", "p99")}
    return {**_cost(result), **times}


def _saturated(result: Result) -> Figures:
    return {
        **_stream(result),
        "chunks a CPU second": result["chunks"] / result["target_cpu"] if result["target_cpu"] else None,
        "chunks a second": result["chunks"] / result["seconds"],
        "longest gap ms": result["gap"]["max"],
        "starved": result["wrong"]["starved"],
    }


def _held(result: Result) -> Figures:
    return {
        "held": result["open_at_end"],
        "lost": result["lost"],
        "KiB a stream": result["kib_a_stream"],
        "idle CPU %": 100 * result["cpu_share"],
    }


def _whole(result: Result) -> Figures:
    return {
        **_cost(result),
        "a CPU second": result["right"] / result["target_cpu"] if result["target_cpu"] else None,
        "a second": result["right"] / result["seconds"],
    }


_FIGURES = {"S0": _stream, "S1": _stream, "S2": _stream, "S3": _stream, "S4": _saturated, "S5": _held, "S6": _whole}
