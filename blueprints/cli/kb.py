"""`flask kb ...`: the operator's commands for the knowledge. None of them starts or needs a server.

Exit codes: 0 for success, 1 if a fault was found or a search found nothing, 2 if the command was not understood.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from flask import Blueprint

from blueprints.cli.kb_publish import publish
from blueprints.web import services
from parley.errors import NotFound
from parley.factories.knowledge import encoders_of, vector_cache_of
from parley.inspection import search as inspection
from parley.knowledge import encoders
from parley.knowledge.folder_scan import is_base_name
from parley.knowledge.semantic import EncoderFailed
from parley.knowledge.sources import SourceFailed
from parley.operators import kb_check, kb_eval, kb_import
from parley.operators.kb_tables import Columns
from parley.telemetry import logs

bp = Blueprint("kb_cli", __name__, cli_group="kb")
bp.cli.add_command(publish)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@bp.cli.command("check")
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@AS_JSON
def check(strict: bool, as_json: bool) -> None:
    """Check all knowledge bases of KB_DIR: faults, sizes, duplicates, keys, words addressed to the model."""
    bases = kb_check.inspect(services().settings.kb_dir)
    findings = [finding for base in bases for finding in base.findings]
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    if as_json:
        report = {"bases": [dataclasses.asdict(base) for base in bases], "errors": errors, "warnings": warnings}
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        for base in bases:
            click.echo(
                f"{base.folder}: {base.files} files, {base.passages} passages, {base.characters} characters"
                f"{base.language and f' in {base.language}'}, {base.invisible_characters} invisible characters removed"
            )
            for finding in base.findings:
                click.echo(f"{finding.severity}: {finding}")
        click.echo(f"{errors} errors, {warnings} warnings")
    sys.exit(1 if errors or (strict and warnings) else 0)


@bp.cli.command("search")
@click.argument("question")
@click.option("--before", default="", help="The caller's message before the question.")
@click.option("--agent", default="", help="The agent's message before the question: an offer that it may accept.")
@click.option("--kb", default="", help="Name of the knowledge base.")
@click.option("--filter", "pairs", multiple=True, metavar="KEY=VALUE", help="Metadata that a passage must have.")
@AS_JSON
def search(question: str, before: str, agent: str, kb: str, pairs: Sequence[str], as_json: bool) -> None:
    """Search as /rag does, and print why passages were found or not, and the text sent to a model."""
    settings = services().settings
    # Only the result is wanted here; `flask kb check` reports the faults that loading logs.
    logs.configure("error", "text")
    if settings.embeddings_cache == "redis" and (link := services().link):
        # A worker asks again and again; here once is enough for the vectors.
        link.beat()
    try:
        services().knowledge.require(kb)
        index = services().knowledge.bases.get(kb).index
    except NotFound:
        place = settings.database_url.shown if settings.database_url else settings.kb_dir
        raise click.BadParameter(f"there is no knowledge base {kb!r} in {place}", param_hint="--kb") from None
    except SourceFailed as failed:
        raise click.ClickException(f"the knowledge can't be read: {failed}") from None
    try:
        encoders.make_ready(index)
    except EncoderFailed as exc:
        click.echo(f"the passages are not encoded, so they are found by words alone: {exc}", err=True)
    chat = inspection.conversation(question, before, agent, dict(parse_filter(pair) for pair in pairs))
    told = inspection.explain(services(), chat, kb)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo("\n".join(lines_of_decision(told, question)))
        for rank, row in enumerate(told["hits"], start=1):
            parts = ", ".join(f"{name} {value}" for name, value in row["parts"].items()) or "one part"
            words = "shares " + ", ".join(row["words"]) if row["words"] else "shares no whole word"
            note = "" if row["sent"] else "; not sent"
            place = f"[{row['id']}] {row['title']} ({row['file']})"
            click.echo(f"{rank}. {row['score']:.4f} {place}: {parts}; {words}{note}")
        click.echo(f"\nSent upstream:\n\n{told['sent']}")
    sys.exit(0 if told["hits"] else 1)


def lines_of_decision(decision: Mapping[str, Any], question: str) -> Iterator[str]:
    """Yield the lines that tell how a search was made, and why it found nothing if so."""
    by = f"words and {decision['encoder']}" if decision["encoder"] else "words alone"
    yield f"base: language {decision['language']}, searched by {by}"
    gate = decision["gate"]
    if decision["looked_up"] is None:
        yield f"gate: {gate}; the model answers without a search"
        return
    yield f"gate: {gate}; looked up: {decision['looked_up']}" if decision["looked_up"] != question else f"gate: {gate}"
    if decision["before"]:
        yield f"with the turns before: {' / '.join(decision['before'].splitlines())}"
    limit = f"{decision['measure']} {decision['confidence']:g}, threshold {decision['threshold']:g}"
    yield f"nothing found: {decision['refusal']}" if decision["refusal"] else f"found: {limit}"


@bp.cli.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--kb", default="", help="Name of the knowledge base that the files go to.")
@click.option("--force", is_flag=True, help="Overwrite a knowledge file of the same name.")
@click.option("--question", "questions", multiple=True, metavar="COLUMN", help="Column of a table with questions.")
@click.option("--answer", "answers", multiple=True, metavar="COLUMN", help="Column of a table with the answers.")
@click.option("--table", is_flag=True, help="Take each row of a table as one text, with all its cells.")
@click.option("--encoding", help="Encoding of text files, where it can't be told: windows-1251, shift_jis ...")
@AS_JSON
def import_files(
    files: Sequence[Path],
    kb: str,
    force: bool,
    questions: Sequence[str],
    answers: Sequence[str],
    table: bool,
    encoding: str | None,
    as_json: bool,
) -> None:
    """Turn tables, JSON and YAML of other tools, Markdown, text, HTML, PDF and Word into knowledge files of KB_DIR."""
    options = kb_import.Options(Columns(tuple(questions), tuple(answers), as_rows=table), encoding)
    if kb and not is_base_name(kb):
        raise click.BadParameter("letters, digits, dots, dashes and underscores only", param_hint="--kb")
    folder = services().settings.kb_dir / kb
    folder.mkdir(parents=True, exist_ok=True)
    done: list[dict[str, Any]] = []
    # The bar goes to standard error, so that the output of `--json` can be parsed.
    with click.progressbar(files, label="Importing", file=sys.stderr) as bar:
        for file in bar:
            target = folder / kb_import.target_name(file)
            try:
                if target.exists() and not force:
                    raise kb_import.ImportFailed(f"{target} already exists; use --force to overwrite it")
                found = kb_import.read_document(file, options)
                kb_import.write(found.entries, target)
            # One bad document must not keep the others out: faults are reported together at the end.
            except kb_import.ImportFailed as exc:
                done.append({"file": str(file), "fault": str(exc)})
            else:
                told = {"encoding": found.encoding, "notes": found.notes, "left_out": found.left_out}
                done.append({"file": str(file), "target": str(target), "entries": len(found.entries), **told})
    failed = sum("fault" in result for result in done)
    if as_json:
        click.echo(json.dumps({"files": done, "failed": failed}, ensure_ascii=False))
    else:
        for result in done:
            click.echo("\n".join(lines_of_import(result)))
    # A row that is left out is a fault as well: nothing may be lost with exit code 0.
    sys.exit(1 if failed or any(result.get("left_out") for result in done) else 0)


def lines_of_import(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that tell how the import of a document ended."""
    if "fault" in result:
        yield f"{result['file']}: {result['fault']}"
        return
    yield f"{result['file']} -> {result['target']}: {result['entries']} entries"
    yield from (f"  note: {note}" for note in result["notes"])
    yield from (f"  left out: {left_out}" for left_out in result["left_out"])


@bp.cli.command("eval")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tier", type=click.Choice(["lexical", "semantic"]), default="lexical", show_default=True)
@click.option("--history", is_flag=True, help="Also search by the user's message before the question.")
@AS_JSON
def evaluate(folders: Sequence[Path], tier: str, history: bool, as_json: bool) -> None:
    """Measure retrieval on labelled sets: folders of corpus.jsonl, queries.jsonl and qrels.tsv."""
    if find_spec("ir_measures") is None:
        raise click.ClickException("ir_measures is not installed; it comes with requirements-dev.txt")
    settings = services().settings
    threshold, encoder = settings.rag_min_coverage, None
    if tier == "semantic":
        # No caller waits for a measurement: a query has as much time as the passages.
        encoder = encoders_of(dataclasses.replace(settings, embeddings_timeout=encoders.PASSAGES_TIMEOUT)).english
        if encoder is None:
            raise click.ClickException(
                "there is no encoder: install requirements-local.txt, or set EMBEDDINGS_BASE_URL"
            )
        threshold = encoder.calibration.min_evidence if settings.rag_min_evidence is None else settings.rag_min_evidence
    rows: dict[str, dict[str, float]] = {}
    for folder in folders:
        try:
            labelled = kb_eval.LabelledSet.load(folder)
            # The measures judge the ranking; the share of questions that the threshold refuses is a figure of its own.
            index = encoders.index_without_threshold(labelled.passages, encoder, vector_cache_of(settings))
        except (kb_eval.BadLabelledSet, EncoderFailed) as exc:
            raise click.ClickException(str(exc)) from exc
        row = kb_eval.evaluate(labelled, index, threshold, history=history)
        rows[labelled.name] = {name: round(value, 4) for name, value in row.items()}
        if not as_json:
            click.echo(figures_line(labelled.name, rows[labelled.name]))
    macro = {name: round(value, 4) for name, value in kb_eval.macro(list(rows.values())).items()}
    if as_json:
        click.echo(json.dumps({"tier": tier, "history": history, "sets": rows, "macro": macro}))
    else:
        click.echo(figures_line("MACRO", macro))


def figures_line(name: str, figures: Mapping[str, float]) -> str:
    """Return a labelled set's name and figures on one line."""
    return f"{name:24} " + "  ".join(f"{figure} {value:g}" for figure, value in figures.items())


def parse_filter(text: str) -> tuple[str, str | int | bool]:
    """Return key and value of `price=65`, `new=true` or `language=en`, with the types that a request's JSON has.

    A number in quotes stays a string. Raises BadParameter.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter("write KEY=VALUE", param_hint="--filter")
    try:
        parsed = json.loads(value)
    except ValueError:
        return key, value
    # Other JSON can't be filtered by: `price=6.5` means the text "6.5". A boolean is an `int` in Python.
    return key, parsed if isinstance(parsed, str | int) else value
