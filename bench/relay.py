"""`make bench`: what a relay costs and how soon it speaks, Parley beside others, in one run on this machine.

    python bench/relay.py                                                    everything, medians of three rounds
    python bench/relay.py --targets parley,nginx --scenarios S0,S3 --rounds 1
    python bench/relay.py --targets parley,parley@../before                  two checkouts side by side

What the scenarios are and how to read the figures: bench/README.md.
"""

import argparse

from measuring import capacity, documents, figures, plots, tables
from measuring.machine import CORES, build
from measuring.scenarios import SCENARIOS, Result, measure, warm_up
from measuring.targets import NotInstalled, find, litellm_command, running_target
from measuring.upstream import running_upstream
from measuring.versions import about, of_command

RELAYS = ["direct", "nginx", "bare", "parley", "tutorial", "litellm", "agora"]
# The streams that S5 leaves behind spoil what comes after it, in relays that do not notice that callers have left.
ORDER = ["S0", "S1", "S2", "S3", "S4", "S6", "leave", "S5"]

PAGES = {"capacity": documents.SCALING, "targets": documents.TARGETS}
"""Where a table goes that is not for docs/performance.md."""

Rounds = dict[str, dict[str, list[Result]]]


def main() -> None:
    """Measure, print, and keep what is asked for."""
    options = _options()
    build()
    rounds: Rounds = {}
    missing: dict[str, str] = {}
    if len(CORES) < 2:
        print("bench: one core only: target and load share it, and the times mean little", flush=True)
    for number in range(1, options.rounds + 1):
        for name in options.targets:
            if name not in missing:
                _measure(number, name, options.scenarios, rounds, missing)
    told = {
        name: figures.of_target({scenario: figures.median(results) for scenario, results in by_scenario.items()})
        for name, by_scenario in rounds.items()
    }
    _report(told, missing, write=options.write_docs)


def _measure(number: int, name: str, scenarios: list[str], rounds: Rounds, missing: dict[str, str]) -> None:
    """One target through its scenarios, with a fresh upstream; what fails is told, and the others go on."""
    target = find(name)
    try:
        with running_upstream() as upstream, running_target(name, target, upstream.base_url) as running:
            warm_up(running, upstream)
            for scenario in scenarios:
                if scenario == "leave" and not target.start:
                    continue
                result = measure(scenario, running, upstream)
                rounds.setdefault(name, {}).setdefault(scenario, []).append(result)
                print(f"{number} {name} {scenario}: {_brief(scenario, result)}", flush=True)
    except NotInstalled as problem:
        missing[name] = str(problem)
        print(f"bench: {name} is left out: {problem}", flush=True)
    except (RuntimeError, OSError, ValueError) as problem:
        print(f"bench: {name} failed: {problem}; its output is in bench/build/", flush=True)
        if name not in rounds:  # it does not start: no need to wait for it again
            missing[name] = "it does not start"


def _brief(scenario: str, result: Result) -> str:
    """A line for who watches."""
    if scenario == "leave":
        return str(result)
    own = figures.of_target({scenario: result})
    wanted = (
        "us a chunk",
        "ms a request",
        "first p50 ms",
        "relay p50 ms",
        "a CPU second",
        "held",
        "KiB a stream",
        "busy %",
        "wrong",
        "altered",
    )
    shown = [
        f"{name.removeprefix(scenario).strip()} {value:.3g}"
        for name, value in own.items()
        if value is not None and name.endswith(wanted)
    ]
    return ", ".join(shown) + (f" | {result['first_error'][:120]}" if result["first_error"] else "")


def _report(told: dict[str, figures.Figures], missing: dict[str, str], *, write: bool) -> None:
    """Print the tables; with `write` they go into the documents too, with the plots."""
    litellm = litellm_command() if "litellm" in told else None
    made_with = about("openai", beside=(of_command(litellm, "litellm"),) if litellm else ())
    texts = {"relays": documents.dated(made_with, tables.of_targets(told))}
    if missing:
        texts["relays"] += f" Not installed, or not started, so not measured: {', '.join(missing)}."
    if "parley" in told:
        texts["goals"] = tables.of_goals(told, portable=True)
        texts["targets"] = documents.dated(made_with, tables.of_goals(told, portable=False))
        texts["capacity"] = capacity.of_a_core(told["parley"])
    texts["bench"] = tables.of_the_bench(told)
    for name, text in texts.items():
        print(f"\n## {name}\n\n{text}")
    if write:
        documents.save("relay", {"about": made_with, "figures": told})
        for name, text in texts.items():
            documents.put(name, text, PAGES.get(name, documents.PERFORMANCE))
        plots.relays(told)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--targets", default=",".join(RELAYS), help="separated by commas; parley@FOLDER is another checkout"
    )
    parser.add_argument("--scenarios", default=",".join(ORDER), help=f"of {', '.join(SCENARIOS)} and leave")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many")
    parser.add_argument(
        "--write-docs", action="store_true", help="put tables and plots into docs/, results into bench/results/"
    )
    options = parser.parse_args()
    options.targets = options.targets.split(",")
    asked = options.scenarios.split(",")
    if unknown := set(asked) - set(ORDER):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(ORDER)}")
    options.scenarios = [name for name in ORDER if name in asked]
    for name in options.targets:
        find(name)
    return options


if __name__ == "__main__":
    main()
