"""`flask kb publish`: the knowledge of KB_DIR into the database of DATABASE_URL.

Exit codes: 0 for success, 1 if nothing was published because of a fault, or if `--dry-run` found something to publish,
2 if the command was not understood.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from flask.cli import with_appcontext

from blueprints.cli.database import connection
from blueprints.web import services
from parley.factories.knowledge import vector_cache_of
from parley.knowledge import documents
from parley.knowledge.encoders import label_of
from parley.knowledge.folder_scan import FolderScan, scan_home
from parley.knowledge.index import language_of
from parley.knowledge.semantic import EncoderFailed
from parley.operators import kb_check
from parley.telemetry import logs

if TYPE_CHECKING:
    from parley.knowledge.database.publishing import Content, Published


@click.command("publish")
@click.option("--kb", help="Publish this base alone; it is dropped if the folder no longer has it.")
@click.option("--dry-run", is_flag=True, help="Change nothing, and exit with 1 if something would change.")
@click.option("--force", is_flag=True, help="Publish in spite of errors, or an empty folder in place of all bases.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_appcontext
def publish(kb: str | None, dry_run: bool, force: bool, as_json: bool) -> None:
    """Publish the knowledge of KB_DIR in the database, for all servers that read it from there.

    Without --kb the database has the same bases as the folder afterwards.
    """
    # Loading a base logs its faults, which `flask kb check` reports.
    logs.configure("error", "text")
    folder = services().settings.kb_dir
    # Looked at once: what changes meanwhile is for the next publish.
    scans = chosen(folder, kb)
    if not force:
        refuse_faults(folder, kb)
        if kb is None and not any(scan.files for scan in scans.values()):
            raise click.ClickException(f"{folder} holds no knowledge; --force would drop all that is published")
    with connection() as database:
        done = list(publish_all(database, folder, scans, kb, dry_run))
    changed = any(one.is_change for one in done)
    if as_json:
        report = {"bases": [dataclasses.asdict(one) for one in done], "dry_run": dry_run, "changed": changed}
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        click.echo("\n".join(lines_of(done, dry_run)))
    sys.exit(1 if dry_run and changed else 0)


def publish_all(
    database: Any, folder: Path, scans: Mapping[str, FolderScan], kb: str | None, dry_run: bool
) -> "Iterator[Published]":
    """Publish these bases, drop those that the folder no longer has, and yield what was done with each."""
    from parley.knowledge.database import publishing

    published = publishing.published_bases(database)
    if kb is not None and kb not in scans and kb not in published:
        raise click.BadParameter(f"there is no knowledge base {kb!r} in {folder}", param_hint="--kb")
    cache = vector_cache_of(services().settings)
    for name, scan in scans.items():
        # The folder's own files need not be a base.
        if not scan.files and name not in published:
            continue
        try:
            content = content_of(name, scan, folder)
            yield publishing.publish(
                database, content, cache, resident=services().settings.kb_resident, dry_run=dry_run
            )
        except EncoderFailed as exc:
            raise click.ClickException(f"{name or 'default base'}: the passages can't be encoded: {exc}") from exc
        except publishing.TooManyPassages as exc:
            raise click.ClickException(f"{name or 'default base'}: {exc}") from exc
    # Last: a base that was renamed is there before its old name is gone.
    gone = published - scans.keys()
    for name in sorted(gone if kb is None else gone & {kb}):
        if dropped := publishing.drop(database, name, dry_run=dry_run):
            yield dropped


def chosen(folder: Path, kb: str | None) -> Mapping[str, FolderScan]:
    """Return the bases of the folder to publish: all, or one if the folder has it."""
    try:
        scans = scan_home(folder)
    except OSError as exc:
        raise click.ClickException(f"{folder} can't be read: {exc.strerror}") from exc
    return scans if kb is None else {name: scan for name, scan in scans.items() if name == kb}


def refuse_faults(folder: Path, kb: str | None) -> None:
    """Exit with the errors of the bases that are to be published, if there are any."""
    from parley.knowledge.database.publishing import MOST_SEARCHED

    reports = [report for report in kb_check.inspect(folder, MOST_SEARCHED) if kb in (None, report.kb)]
    faults = [str(finding) for report in reports for finding in report.findings if finding.severity == "error"]
    if faults:
        text = "\n".join(faults)
        raise click.ClickException(f"nothing is published (--force would):\n{text}")


def content_of(name: str, scan: FolderScan, folder: Path) -> "Content":
    """Return what is to be published of a base."""
    from parley.knowledge.database.publishing import MOST_SEARCHED, Content

    # One more than there may be: the publish refuses them, and leaves none out in silence.
    loaded = documents.load(scan.folder, folder, scan=scan, most=MOST_SEARCHED + 1)
    language = loaded.settings.language or language_of(loaded.passages)
    encoder = services().index_factory.encoder_for(loaded.settings, language)
    return Content(name, loaded.passages, loaded.settings, language, encoder, label_of(encoder) if encoder else "")


def lines_of(done: "list[Published]", dry_run: bool) -> Iterator[str]:
    """Yield what was done, a line a base."""
    for one in done:
        counts: dict[str, Any] = {
            name: getattr(one, name) for name in ("added", "changed", "moved", "gone", "encoded") if getattr(one, name)
        }
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        told = told or ("settings changed" if one.settings_changed else "nothing to publish")
        told += f", {one.indexes} indexes" if one.indexes else ""
        yield f"{one.kb or 'default base'}: {told}" + ("" if dry_run else f" ({one.seconds:.1f} s)")
    if not done:
        yield "nothing to publish"
