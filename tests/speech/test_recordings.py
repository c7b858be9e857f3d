"""The recordings that are loaded, the problems of the others, and the choice of the one that answers."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.errors import InvalidRequest
from parley.speech import placeholder, recordings, sound_file, wav
from parley.speech.recordings import Library

SOUND = {"default": b"\1\0" * 200, "welcome": b"\2\0" * 300, "goodbye": b"\3\0" * 100}


def add(folder: Path, name: str, text: bytes = b"Some words.", rate: int = 16000) -> None:
    (folder / f"{name}.wav").write_bytes(wav.encode(SOUND.get(name, b"\4\0" * 50), rate))
    (folder / f"{name}.txt").write_bytes(text)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    add(tmp_path, "default", b"How can I help?\n")
    add(tmp_path, "welcome", b"Welcome to\r\nthe workshop.\n")
    return Library.load(tmp_path, 16000)


def only_problem(folder: Path) -> str:
    (problem,) = Library.load(folder, 16000).problems
    return problem


def test_a_recording_is_loaded_with_its_words_and_its_sound(library: Library):
    chosen = library.choose("welcome")

    assert chosen.name == "welcome"
    assert chosen.transcript == "Welcome to\r\nthe workshop."
    assert (chosen.pcm, chosen.rate, chosen.simulated) == (SOUND["welcome"], 16000, False)
    assert library.problems == []
    assert library.names == ["default", "welcome"]


def test_sound_is_converted_to_the_requested_rate(tmp_path: Path):
    add(tmp_path, "default", rate=8000)

    chosen = Library.load(tmp_path, 24000).choose(None)

    assert chosen.rate == 24000
    assert len(chosen.pcm) == 3 * len(SOUND["default"])


def test_a_request_is_answered_without_the_files(library: Library, tmp_path: Path):
    for path in tmp_path.iterdir():
        path.unlink()

    assert library.choose("default").pcm == SOUND["default"]


def test_default_answers_when_no_name_is_given(library: Library):
    assert library.choose(None).name == "default"


def test_the_only_recording_answers_when_no_name_is_given(tmp_path: Path):
    add(tmp_path, "goodbye")

    assert Library.load(tmp_path, 16000).choose(None).name == "goodbye"


def test_none_of_several_is_picked_without_a_name_or_default(tmp_path: Path):
    add(tmp_path, "goodbye")
    add(tmp_path, "welcome")

    assert Library.load(tmp_path, 16000).choose(None).simulated


def test_an_unknown_name_gets_simulated_sound(library: Library):
    chosen = library.choose("no-such_asset.v2")

    assert chosen.simulated
    assert chosen.transcript == placeholder.TRANSCRIPT
    assert len(chosen.pcm) > 16000


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "...",
        "../../etc/passwd",
        "/etc/passwd",
        "%2e%2e",
        "a\0b",
        "..\\a",
        "a b",
        "default\n",
        "é",
        "a" * 65,
    ],
)
def test_a_name_that_no_file_could_have_is_refused(library: Library, name: str):
    with pytest.raises(InvalidRequest) as caught:
        library.choose(name)

    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_asset", "asset")


def test_a_broadcast_gets_the_recording_of_its_words(library: Library):
    chosen = library.choose("default", spoken="  Welcome to the  workshop. ")

    assert (chosen.name, chosen.simulated) == ("welcome", False)


@pytest.mark.parametrize("name", [None, "default", "welcome", "../bad"])
@pytest.mark.parametrize("spoken", ["Sorry, something went wrong.", "how can I help?", ""])
def test_a_broadcast_without_a_recording_is_simulated(library: Library, name: str | None, spoken: str):
    chosen = library.choose(name, spoken=spoken)

    assert chosen.simulated
    assert chosen.transcript == spoken


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".txt", b" \r\n\t", "bad.txt: empty"),
        (".txt", b"Caf\xe9", "bad.txt: not UTF-8 (byte 3"),
        (".txt", b"x" * 70_000, "bad.txt: not a text file of at most 65536 bytes"),
        (".wav", b"ID3\3" + bytes(99), "bad.wav: MP3 data that can't be decoded"),
        (".wav", b"wvpk" + bytes(99), "bad.wav: a WavPack file, which is not played; convert it with: ffmpeg -i "),
        (".wav", b"", "bad.wav: not a sound file: 0 bytes"),
    ],
)
def test_a_bad_file_is_a_problem_with_its_name_and_reason(tmp_path: Path, suffix: str, content: bytes, said: str):
    add(tmp_path, "welcome")
    add(tmp_path, "bad")
    (tmp_path / f"bad{suffix}").write_bytes(content)

    library = Library.load(tmp_path, 16000)

    assert library.names == ["welcome"]
    assert len(library.problems) == 1
    assert library.problems[0].startswith(said)


def test_a_transcript_without_its_sound_is_simulated(tmp_path: Path):
    add(tmp_path, "alone", b"Good morning.")
    (tmp_path / "alone.wav").write_bytes(b"ID3\3" + bytes(99))

    chosen = Library.load(tmp_path, 16000).choose("alone")

    assert (chosen.transcript, chosen.simulated) == ("Good morning.", True)


def test_sound_without_a_transcript_claims_no_words(tmp_path: Path):
    add(tmp_path, "welcome")
    (tmp_path / "welcome.txt").write_bytes(b"Caf\xe9")
    library = Library.load(tmp_path, 16000)

    chosen = library.choose("welcome")

    assert (chosen.pcm, chosen.simulated) == (SOUND["welcome"], False)
    assert chosen.transcript == "(The recording welcome, whose words are not known.)"
    assert library.choose(None, spoken=chosen.transcript).simulated


HALVES = {
    "text alone": ({".txt": b"Good morning."}, "Good morning.", True),
    "sound alone": ({".wav": None}, "(The recording hello, whose words are not known.)", False),
    "empty text": ({".wav": None, ".txt": b" \n"}, "(The recording hello, whose words are not known.)", False),
    "bad text": ({".wav": None, ".txt": b"Caf\xe9"}, "(The recording hello, whose words are not known.)", False),
    "broken sound": ({".wav": b"ID3\3" + bytes(99), ".txt": b"Good morning."}, "Good morning.", True),
    "sound of another kind": ({".m4a": b"\0\0\0\x20ftypM4A ", ".txt": b"Good morning."}, "Good morning.", True),
    "capitals": ({".WAV": None}, "(The recording hello, whose words are not known.)", False),
}


@pytest.mark.row("RE-09")
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["hello", "default", "hello-2.b", "my greeting 2", "Begrüßung"])
def test_the_only_half_there_is_answers_under_any_name(tmp_path: Path, half: str, name: str):
    files, transcript, simulated = HALVES[half]
    for suffix, content in files.items():
        (tmp_path / f"{name}{suffix}").write_bytes(wav.encode(SOUND["welcome"], 16000) if content is None else content)

    chosen = Library.load(tmp_path, 16000).choose(None)

    assert (chosen.transcript, chosen.simulated) == (transcript.replace("hello", name), simulated)
    assert simulated or chosen.pcm == SOUND["welcome"]


@pytest.mark.row("RE-09")
def test_half_a_recording_stands_back_behind_a_whole_one(tmp_path: Path):
    add(tmp_path, "welcome")
    (tmp_path / "default.txt").write_text("Half.")

    assert Library.load(tmp_path, 16000).choose(None).name == "welcome"


@pytest.mark.row("RE-09")
def test_of_two_halves_none_is_picked_at_random(tmp_path: Path):
    (tmp_path / "one.txt").write_text("One.")
    (tmp_path / "two.txt").write_text("Two.")

    assert Library.load(tmp_path, 16000).choose(None).name == placeholder.NAME


def test_a_missing_half_is_named(tmp_path: Path):
    add(tmp_path, "alone")
    (tmp_path / "alone.wav").rename(tmp_path / "alone.mp3")
    (tmp_path / "alone.txt").unlink()
    assert only_problem(tmp_path) == "alone.mp3: there is no alone.txt beside it"

    (tmp_path / "alone.mp3").unlink()
    (tmp_path / "alone.txt").write_text("Alone.")
    assert only_problem(tmp_path) == "alone.txt: there is no alone.wav beside it (nor .flac, .ogg, .opus, .mp3)"


@pytest.mark.parametrize("suffix", sound_file.SUFFIXES)
def test_sound_files_are_read_by_content_whatever_the_ending(tmp_path: Path, suffix: str):
    add(tmp_path, "welcome")
    (tmp_path / "welcome.wav").rename(tmp_path / f"welcome{suffix.upper()}")

    assert Library.load(tmp_path, 16000).choose("welcome").pcm == SOUND["welcome"]


def test_of_several_sound_files_the_first_ending_is_played(tmp_path: Path):
    add(tmp_path, "welcome")
    files = [tmp_path / f"welcome{suffix}" for suffix in sound_file.SUFFIXES]
    for number, file in enumerate(files):
        file.write_bytes(wav.encode(bytes([number, 0]) * 100, 16000))

    for number, file in enumerate(files):
        library = Library.load(tmp_path, 16000)
        assert library.choose("welcome").pcm == bytes([number, 0]) * 100 and library.problems == []
        file.unlink()

    files[1].write_bytes(wav.encode(SOUND["welcome"], 16000))
    files[0].write_bytes(b"RIFF")
    library = Library.load(tmp_path, 16000)
    assert library.choose("welcome").simulated and library.problems == ["welcome.wav: not a sound file: 4 bytes"]


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path: Path):
    folder = tmp_path / "assets"
    folder.mkdir()
    add(tmp_path, "secret")
    add(folder, "welcome")
    (folder / "welcome.txt").unlink()
    (folder / "welcome.txt").symlink_to(tmp_path / "secret.txt")

    assert only_problem(folder) == "welcome.txt: a link that leaves the folder"


def test_a_link_is_followed_inside_the_folder_only(tmp_path: Path):
    add(tmp_path, "welcome")
    for suffix in (".wav", ".txt"):
        (tmp_path / f"hello{suffix}").symlink_to(f"welcome{suffix}")
        (tmp_path / f"circle{suffix}").symlink_to(f"circle{suffix}")

    library = Library.load(tmp_path, 16000)

    assert library.names == ["hello", "welcome"]
    assert [problem.split(":")[0] for problem in library.problems] == ["circle.txt", "circle.wav"]


def test_an_impossible_name_is_a_problem_on_one_line(tmp_path: Path):
    add(tmp_path, "my\nvoice")

    assert only_problem(tmp_path).startswith("'my\\nvoice': a name has")


def test_a_byte_order_mark_and_capital_suffixes_are_accepted(tmp_path: Path):
    add(tmp_path, "welcome", b"\xef\xbb\xbfHello.")
    (tmp_path / "welcome.wav").rename(tmp_path / "welcome.WAV")

    assert Library.load(tmp_path, 16000).choose("welcome").transcript == "Hello."


def test_other_and_hidden_files_are_ignored(tmp_path: Path):
    add(tmp_path, "welcome")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "._welcome.wav").write_bytes(b"resource fork")

    assert Library.load(tmp_path, 16000).problems == []


@pytest.mark.parametrize("missing", [True, False])
def test_without_a_folder_or_files_answers_are_simulated(tmp_path: Path, missing: bool):
    library = Library.load(tmp_path / "voices" if missing else tmp_path, 16000)

    assert len(library.problems) == 1
    assert library.choose(None).simulated


def test_the_recordings_of_the_project_have_no_problems():
    folder = Path(__file__).parents[2] / "audio_assets"

    library = Library.load(folder, 16000)

    assert library.problems == []
    assert {"default", "welcome"} <= set(library.names)


@pytest.mark.row("RB-05")
@pytest.mark.parametrize(
    ("sent", "recorded"),
    [
        ("Cafe\u0301 Muller", "Caf\u00e9 Muller"),
        ("It\u2019s \u201cours\u201d", 'It\'s "ours"'),
        ("It\u00b4s 5\u2033", "It's 5\""),
        ("\u00abHallo\u00bb", '"Hallo"'),
        ("\u201eHallo\u201c", '"Hallo"'),
        ("Hello\u00a0there,\u3000friend\n", "Hello there, friend"),
        ("Hello\u200b there\ufeff", "Hello there"),
        ("Wait\u2026", "Wait..."),
        ("\uff28ello\uff01", "Hello!"),
        ("Hello\u2014friend", "Hello \u2013 friend"),
        ("Hello -- friend", "Hello - friend"),
        ("well\u2011known", "well-known"),
        ("\ud55c\uad6d", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
    ],
    ids=[
        *("accents", "quotes", "acute", "guillemets", "low quotes", "blanks", "invisible", "ellipsis", "full width"),
        *("dashes", "two hyphens", "hyphens", "jamo"),
    ],
)
def test_a_broadcast_is_found_in_any_form_of_its_text(tmp_path: Path, sent: str, recorded: str):
    add(tmp_path, "greeting", recorded.encode())
    add(tmp_path, "other", b"Other words.")

    for spoken, transcript in ((sent, recorded), (recorded, sent)):
        (tmp_path / "greeting.txt").write_text(transcript)
        found = Library.load(tmp_path, 16000).by_words(spoken)
        assert found is not None and found.name == "greeting" and found.transcript == transcript.strip()


@pytest.mark.row("RB-05")
@pytest.mark.parametrize("sent", ["hello there", "Hello there!", "Hello, there", "Hello theres", "Hell o there"])
def test_other_words_marks_or_capitals_are_another_text(tmp_path: Path, sent: str):
    add(tmp_path, "greeting", b"Hello there")

    assert Library.load(tmp_path, 16000).by_words(sent) is None


@pytest.mark.row("RB-05")
@given(st.text(max_size=30))
def test_folding_is_stable_and_knows_no_form(text: str):
    assert recordings.folded(recordings.folded(text)) == recordings.folded(text)
    decomposed, composed = (unicodedata.normalize(form, text) for form in ("NFD", "NFC"))
    assert recordings.folded(decomposed) == recordings.folded(composed)
