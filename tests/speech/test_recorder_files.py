"""Sound files as recorders, editors and converters write them: heard as they were meant, or refused with what helps.

Each case is one tone of 1 kHz. A command that a refusal prints is run here, on the very file that was refused; it wants
ffmpeg, and without it these tests are skipped.
"""

import io
import shlex
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import wav_files
from hypothesis import given, settings
from hypothesis import strategies as st
from wav_files import A_LAW, EXTENSIBLE, FLOAT, MU_LAW, PCM, SUBFORMAT_TAIL, chunk, head, riff, tone

from parley.operators import audio_check
from parley.speech import recordings, sound_file, wav
from parley.speech.sound_file import SoundError

RATE = 16_000
TONE = tone(RATE)
PCM16 = np.rint(TONE * 32767).astype("<i2").tobytes()
PCM24 = np.rint(TONE * 0x7FFFFF).astype("<i4")
HEAD, DATA = head(PCM, 1, RATE, 16), chunk(b"data", PCM16)
GOOD = riff(HEAD, DATA)
TAG = b"ID3\4\0\0\0\0\2\0" + bytes(256)
INFO = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"Audac\0")
NEEDS_FFMPEG = pytest.mark.skipif(
    shutil.which("ffmpeg") is None,
    reason="ffmpeg is not installed: the printed commands are NOT tested here (apt-get install ffmpeg)",
)


def bare(name: bytes, body: bytes, behind: bytes = b"") -> bytes:
    """A chunk, and these bytes in place of the pad byte that may be due."""
    return name + struct.pack("<I", len(body)) + body + behind


def extensible(bits: int, valid: int, form: int = PCM, tail: bytes = SUBFORMAT_TAIL, block: int | None = None) -> bytes:
    extra = struct.pack("<HHIH", 22, valid, 0, form) + tail
    return head(EXTENSIBLE, 1, RATE, bits, block=block, extra=extra)


def fmt(tag: int, byte_rate: int, block: int, bits: int, more: bytes = b"") -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, 1, RATE, byte_rate, block, bits) + more)


def long_form(name: bytes, sizes: bytes | None, behind: bytes = b"") -> bytes:
    """An RF64 file: sizes of 32 bits are unknown, the true ones stand in `ds64`."""
    ds64 = b"" if sizes is None else chunk(b"ds64", sizes)
    return name + b"\xff\xff\xff\xffWAVE" + ds64 + HEAD + b"data\xff\xff\xff\xff" + PCM16 + behind


def written(container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, TONE, RATE, format=container, subtype=subtype)
    return file.getvalue()


SIZES = struct.pack("<QQQI", len(PCM16) + 72, len(PCM16), len(PCM16) // 2, 0)
UNKNOWN_NAMES = (b"abcd", b"XyZ1", b"_PMX", b"bext", b"LIST", b"zzzz")
HEARD: dict[str, bytes] = {
    **{f"odd chunk {name.decode()} without a pad byte": riff(HEAD, bare(name, b"abc"), DATA) for name in UNKNOWN_NAMES},
    **{f"odd chunk {name.decode()} in front": riff(bare(name, b"abcde"), HEAD, DATA) for name in UNKNOWN_NAMES},
    **{f"odd chunk {name.decode()} with it": riff(HEAD, bare(name, b"abc", b"\0"), DATA) for name in UNKNOWN_NAMES},
    "a pad byte that is a blank": riff(HEAD, bare(b"LIST", b"abc", b" "), DATA),
    "two odd chunks": riff(bare(b"abcd", b"x"), HEAD, bare(b"LIST", b"xyz"), DATA),
    "24 bits in 4 bytes, high": riff(fmt(PCM, 4 * RATE, 4, 24), chunk(b"data", (PCM24 << 8).tobytes())),
    "24 bits in 4 bytes, low": riff(fmt(PCM, 4 * RATE, 4, 24), chunk(b"data", PCM24.tobytes())),
    "24 bits in 4 bytes, no sign": riff(fmt(PCM, 4 * RATE, 4, 24), chunk(b"data", (PCM24 & 0xFFFFFF).tobytes())),
    "24 bits in 4 bytes, no frame": riff(fmt(PCM, 4 * RATE, 0, 24), chunk(b"data", (PCM24 << 8).tobytes())),
    "24 bits in 4 bytes, extensible": riff(extensible(32, 24), chunk(b"data", (PCM24 << 8).tobytes())),
    "24 bits in 4 bytes, extensible, low": riff(extensible(32, 24), chunk(b"data", PCM24.tobytes())),
    "24 bits, extensible, block of 4": riff(extensible(24, 24, block=4), chunk(b"data", (PCM24 << 8).tobytes())),
    "20 bits in 3 bytes": riff(extensible(24, 20), chunk(b"data", wav_files.ENCODERS[PCM, 24](TONE))),
    "extensible": riff(extensible(16, 16), DATA),
    "extensible, odd GUID": riff(extensible(16, 16, tail=bytes(14)), DATA),
    "extensible, no valid bits": riff(extensible(16, 0), DATA),
    "extensible, cut short": riff(fmt(EXTENSIBLE, 2 * RATE, 2, 16, b"\0\0"), DATA),
    "extensible floats": riff(extensible(32, 32, FLOAT), chunk(b"data", TONE.astype("<f4").tobytes())),
    "extensible mu-law": riff(extensible(8, 8, MU_LAW), chunk(b"data", wav_files.ENCODERS[MU_LAW, 8](TONE))),
    "floats": riff(fmt(FLOAT, 4 * RATE, 4, 32), chunk(b"data", TONE.astype("<f4").tobytes())),
    "floats of 64 bits": riff(fmt(FLOAT, 8 * RATE, 8, 64), chunk(b"data", TONE.astype("<f8").tobytes())),
    "mu-law": riff(fmt(MU_LAW, RATE, 1, 8), chunk(b"data", wav_files.ENCODERS[MU_LAW, 8](TONE))),
    "A-law": riff(fmt(A_LAW, RATE, 1, 8), chunk(b"data", wav_files.ENCODERS[A_LAW, 8](TONE))),
    "data size 0": riff(HEAD) + b"data\0\0\0\0" + PCM16,
    "data size 0, odd end": riff(HEAD) + b"data\0\0\0\0" + PCM16 + b"x",
    "data size unknown": riff(HEAD) + b"data\xff\xff\xff\xff" + PCM16,
    "data size too large": riff(HEAD) + b"data" + struct.pack("<I", 10**8) + PCM16,
    "RIFF size 0": b"RIFF\0\0\0\0WAVE" + HEAD + DATA,
    "LIST behind the data": riff(HEAD, DATA, INFO),
    "odd LIST behind the data": riff(HEAD, DATA, bare(b"LIST", b"INFOISFTxyz")),
    "ID3v1 behind the data": GOOD + b"TAG" + bytes(125),
    "truncated": GOOD[:-3001],
    "RF64": long_form(b"RF64", SIZES),
    "RF64 with a list behind": long_form(b"RF64", SIZES, INFO),
    "RF64 whose writer could not seek back": long_form(b"RF64", bytes(28)),
    "RF64 without ds64": long_form(b"RF64", None),
    "BW64": long_form(b"BW64", SIZES),
    "BWF": riff(chunk(b"JUNK", bytes(28)), chunk(b"bext", bytes(602)), HEAD, DATA),
    "BWF with an odd bext": riff(bare(b"bext", bytes(603)), HEAD, DATA),
    "frame size wrong, byte rate right": riff(fmt(PCM, 2 * RATE, 1, 16), DATA),
    "byte rate wrong": riff(fmt(PCM, 7, 2, 16), DATA),
    "frame size and byte rate 0": riff(fmt(PCM, 0, 0, 16), DATA),
    "format of 40 bytes": riff(fmt(PCM, 2 * RATE, 2, 16, bytes(24)), DATA),
    "size of the format wrong": riff(chunk(b"fmt ", HEAD[8:], 18), DATA),
    "format behind the data": riff(DATA, HEAD),
    "two formats": riff(HEAD, HEAD, DATA),
    "a chunk size that leads nowhere": riff(HEAD, chunk(b"LIST", b"INFOabcd", 999_999), DATA),
    "such a size, and a text about data": riff(HEAD, chunk(b"LIST", b"INFO my data: none.", 999_999), DATA),
    "zeros between chunks": riff(HEAD) + bytes(6) + DATA,
    "ID3 in front": TAG + GOOD,
    "ID3 twice": TAG + TAG + GOOD,
    "ID3 with padding": TAG + bytes(333) + GOOD,
    "ID3, size in bytes": b"ID3\3\0\0" + struct.pack(">I", 300) + bytes(300) + GOOD,
    "ID3 in a chunk": riff(HEAD, chunk(b"id3 ", TAG), DATA),
    "a line break in front": b"\r\n" + GOOD,
    **{
        f"{container} {subtype}": written(container, subtype)
        for container, subtype in (
            *(("AIFF", "PCM_16"), ("AIFF", "PCM_24"), ("AIFF", "FLOAT"), ("AIFF", "ULAW"), ("W64", "PCM_16")),
            *(("W64", "FLOAT"), ("RF64", "PCM_24"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("AU", "ULAW")),
            *(("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("WAVEX", "PCM_24"), ("FLAC", "PCM_16")),
            *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
        )
    },
    "AIFF behind ID3": TAG + written("AIFF", "PCM_16"),
    "FLAC behind ID3": TAG + written("FLAC", "PCM_16"),
    "Ogg behind ID3": TAG + written("OGG", "VORBIS"),
    "Wave64 behind ID3": TAG + written("W64", "PCM_16"),
    "truncated AIFF": written("AIFF", "PCM_16")[:-5001],
    "truncated ADPCM": written("WAV", "IMA_ADPCM")[:-1001],
    "MP3 in WAV": riff(fmt(0x55, 8000, 1, 0, b"\0\0"), chunk(b"data", written("MP3", "MPEG_LAYER_III"))),
}


def is_the_tone(pcm: bytes, least_seconds: float = 0.2) -> bool:
    """The sound is 1 kHz at half of full scale, and nothing else."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    at = 1000 * len(samples) / RATE
    share = spectrum[int(at * 0.95) : int(at * 1.05) + 1].sum() / spectrum.sum()
    return bool(share > 0.98 and 0.4 < np.abs(samples).max() / 32768 < 0.65 and len(samples) / RATE > least_seconds)


@pytest.mark.row("RC-05")
@pytest.mark.parametrize("name", HEARD)
def test_a_file_of_a_real_writer_is_heard(tmp_path: Path, name: str) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(HEARD[name])

    assert is_the_tone(sound_file.read(path, RATE).pcm)


ODD = st.binary(min_size=1, max_size=9).filter(lambda body: len(body) % 2)
NAMES = st.sampled_from(sorted(wav.CHUNK_NAMES - {b"data", b"fmt ", b"ds64"}))


@pytest.mark.row("RC-05")
@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, ODD, st.booleans()), max_size=5), st.integers(0, 5))
def test_odd_chunks_anywhere_lead_to_the_sound(chunks: list[tuple[bytes, bytes, bool]], place: int) -> None:
    odd = [bare(name, body, b"\0" if padded else b"") for name, body, padded in chunks]

    layout = wav.find_sound(io.BytesIO(riff(*odd[:place], HEAD, *odd[place:], DATA)), 0)

    assert (layout.format_chunk, layout.size) == (HEAD[8:], len(PCM16))


def ffmpeg(folder: Path, *arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL)


CONVERTED: dict[str, tuple[str, ...]] = {
    "hello.m4a": ("-c:a", "aac"),
    "hello.mp4": ("-c:a", "alac"),
    "hello.aac": ("-c:a", "aac"),
    "hello.wma": ("-c:a", "wmav2"),
    "hello.webm": ("-c:a", "libopus"),
    "flac.ogg": ("-c:a", "flac"),
    "speex.ogg": ("-c:a", "libspeex"),
    "alac.caf": ("-c:a", "alac"),
    "yamaha.wav": ("-c:a", "adpcm_yamaha"),
    "g726.wav": ("-ar", "8000", "-c:a", "g726"),
    "wma.wav": ("-c:a", "wmav2"),
    "ac3.wav": ("-c:a", "ac3"),
    "wavpack.wav": ("-f", "wv"),
    "tta.wav": ("-f", "tta"),
    "voc.wav": ("-f", "voc"),
}


def command_of(folder: Path, name: str) -> str:
    """The command that the refusal of a recording prints."""
    path = folder / name
    recording = recordings.read(folder, path.stem, {path.suffix: path}, RATE)
    assert recording.sound is None and recording.convert_command is not None
    assert any(recording.convert_command in problem for problem in recording.problems)
    return recording.convert_command


def heard_after(folder: Path, command: str) -> bytes:
    """The sound of the file that the command makes."""
    words = shlex.split(command)
    # Of a truncated file ffmpeg complains, and writes what there is.
    subprocess.run([words[0], "-v", "error", *words[1:]], cwd=folder, check=False, stdin=subprocess.DEVNULL)
    return sound_file.read(folder / words[-1], RATE).pcm


@pytest.mark.slow
@NEEDS_FFMPEG
@pytest.mark.row("RC-05")
@pytest.mark.parametrize("name", CONVERTED)
def test_the_command_of_a_refusal_makes_a_good_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "tone.wav").write_bytes(GOOD)
    ffmpeg(tmp_path, "-i", "tone.wav", *CONVERTED[name], name)

    assert is_the_tone(heard_after(tmp_path, command_of(tmp_path, name)))


@pytest.mark.slow
@NEEDS_FFMPEG
@pytest.mark.row("RC-05")
@pytest.mark.parametrize(("container", "subtype"), [("FLAC", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "ALAC_16")])
def test_the_command_saves_what_a_truncated_file_holds(tmp_path: Path, container: str, subtype: str) -> None:
    content = written(container, subtype)
    name = f"cut.{container.lower()}"
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])

    assert is_the_tone(heard_after(tmp_path, command_of(tmp_path, name)), 0.1)


UNHELPED = {
    "a text": b"This is a text file, renamed.",
    "nothing": b"",
    "a WAV file without sound": riff(HEAD),
    "an absurd frame": riff(fmt(PCM, 3 * RATE, 3, 16), DATA),
    "an unknown coding": riff(fmt(0x1234, RATE, 1, 8), DATA),
    "a truncated Ogg": written("OGG", "VORBIS")[:-1000],
    "a damaged MP3": b"\xff\xfb\x90\x64" + bytes(400),
}


@pytest.mark.row("RC-05")
@pytest.mark.parametrize("name", UNHELPED)
def test_no_command_is_printed_that_would_not_help(tmp_path: Path, name: str) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(UNHELPED[name])

    with pytest.raises(SoundError) as refused:
        sound_file.read(path, RATE)

    assert not refused.value.is_convertible


MENDED = {
    "too quiet": 0.005 * TONE,
    "too loud": np.sign(TONE) * 0.99,
    "silence around it": np.concatenate([np.zeros(RATE), TONE, np.zeros(RATE)]),
    "quiet, and silence around it": 0.01 * np.concatenate([np.zeros(RATE), np.tile(TONE, 10), np.zeros(RATE)]),
}


@pytest.mark.slow
@NEEDS_FFMPEG
@pytest.mark.row("RC-05")
@pytest.mark.parametrize("fault", MENDED)
@pytest.mark.parametrize("name", ["hello.wav", "hello.flac"])
def test_the_command_of_the_check_mends_what_it_told(tmp_path: Path, fault: str, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, MENDED[fault], RATE)
    before = audio_check.inspect(tmp_path, "hello", {path.suffix: path, ".txt": text_in(tmp_path)}, RATE)
    assert before.advice and before.mend

    heard_after(tmp_path, before.mend)

    mended = tmp_path / "hello.new.wav"
    after = audio_check.inspect(tmp_path, "hello", {".wav": mended, ".txt": text_in(tmp_path)}, RATE)
    assert after.problems == [] and [told for told in after.advice if "clipped" not in told] == []


def text_in(folder: Path) -> Path:
    path = folder / "hello.txt"
    path.write_text("Hello.")
    return path
