"""The repository itself: pinned requirements, and no secret in any file."""

import re

import pytest
from running_server import ROOT

PINNED = re.compile(r"^[A-Za-z0-9._-]+(?:\[[a-z0-9,-]+\])?==\S+( ; .+)?$")


@pytest.mark.row("SE-06")
def test_every_requirement_is_pinned_with_its_hash() -> None:
    files = sorted(ROOT.glob("requirements*.txt"))
    assert {file.with_suffix(".in") for file in files} == set(ROOT.glob("requirements*.in")) != set()
    for file in files:
        entries = file.read_text().replace("\\\n", " ").splitlines()
        for entry in (entry for entry in entries if entry.strip() and not entry.startswith("#")):
            name, _, hashes = entry.partition("--hash=sha256:")
            assert PINNED.match(name.strip()) and re.match(r"[0-9a-f]{64}\b", hashes), (file.name, entry[:60])


SECRETS = re.compile(
    r"""-----BEGIN [A-Z ]*PRIVATE KEY-----            # any private key
      | \bAKIA[0-9A-Z]{16}\b                          # AWS
      | \bgh[pousr]_[A-Za-z0-9]{36} | github_pat_\w{40} # GitHub
      | \bglpat-[\w-]{20}                             # GitLab
      | \bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{40,}        # OpenAI, Anthropic
      | \b(?:gsk_|xai-|hf_)[A-Za-z0-9]{30,}           # Groq, xAI, Hugging Face
      | \bAIza[\w-]{35} | \bxox[baprs]-[\w-]{20,}     # Google, Slack
      | ://[^\s/:@"'<>{}%]+:[^\s/@"'<>{}]{6,}@         # an address with a password
    """,
    re.VERBOSE,
)


NOT_OURS = {
    ".git",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".cache",
}


@pytest.mark.row("SE-06")
@pytest.mark.slow
def test_the_repository_holds_no_secret() -> None:
    files = [file for file in ROOT.rglob("*") if file.is_file() and not NOT_OURS & set(file.parts)]
    found = [
        (str(file.relative_to(ROOT)), match[0][:12])
        for file in files
        if file.suffix != ".wav" and file.name != ".env"
        for match in SECRETS.finditer(file.read_text(errors="replace"))
    ]
    assert len(files) > 100 and found == []
    assert {".env", ".venv/"} <= set((ROOT / ".gitignore").read_text().split())


@pytest.mark.row("SE-06")
def test_the_scan_finds_a_secret() -> None:
    for made_up in ("sk-" + "a1B2" * 12, "AKIA" + "A1" * 8, "ghp_" + "a1" * 18, "https://me:hunter" + "22@host/"):
        assert SECRETS.search(f"key = '{made_up}'")
