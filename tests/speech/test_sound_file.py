"""Sound files of every kind become PCM16 mono, or are refused with the reason."""

import io
import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
import wav_files
from hypothesis import given, settings
from hypothesis import strategies as st
from wav_files import A_LAW, EXTENSIBLE, FLOAT, MU_LAW, PCM, SUBFORMAT_TAIL, chunk, head, riff, tone

from parley.speech import sound_file, wav
from parley.speech.sound_file import Sound, SoundError

RATE = 16_000
SPEECH = Path(__file__).parents[2] / "audio_assets" / "welcome.wav"
ID3 = b"ID3\4\0\0\0\0\2\0" + bytes(256)
KINDS = [
    ("flac", "FLAC", "PCM_16"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
]
Read = Callable[..., Sound]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads bytes as a file."""

    def reading(content: bytes, rate: int = RATE) -> Sound:
        path = tmp_path / "sound"
        path.write_bytes(content)
        return sound_file.read(path, rate)

    return reading


def encoded(samples: npt.NDArray[np.float64], rate: int, container: str, subtype: str) -> bytes:
    """Return a file of this kind, made by libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def values(sound: Sound) -> list[int]:
    return np.frombuffer(sound.pcm, "<i2").tolist()


def refusal(read: Read, content: bytes) -> SoundError:
    with pytest.raises(SoundError) as caught:
        read(content)
    return caught.value


@pytest.mark.parametrize(
    ("tag", "bits", "stored"),
    [
        (1, 8, bytes([0x80, 0xC0, 0x40, 0x00])),
        (1, 16, struct.pack("<4h", 0, 0x4000, -0x4000, -0x8000)),
        (1, 24, bytes.fromhex("000000 000040 0000c0 000080")),
        (1, 32, struct.pack("<4i", 0, 0x40000000, -0x40000000, -0x80000000)),
        (3, 32, struct.pack("<4f", 0, 0.5, -0.5, -1)),
        (3, 64, struct.pack("<4d", 0, 0.5, -0.5, -1)),
    ],
)
def test_every_sample_format_means_the_same_sound(read: Read, tag: int, bits: int, stored: bytes) -> None:
    sound = read(riff(head(tag, 1, RATE, bits), chunk(b"data", stored)))

    assert values(sound) == [0, 16384, -16384, -32768]
    assert (sound.channels, sound.source_rate, sound.seconds) == (1, RATE, 4 / RATE)
    assert sound.is_pcm16 == ((tag, bits) == (1, 16))


@pytest.mark.parametrize(
    ("tag", "codes", "levels"),
    [
        (MU_LAW, [0xFF, 0x80, 0x00, 0xEF], [0, 32124, -32124, 132]),
        (A_LAW, [0xD5, 0xAA, 0x2A, 0x55], [8, 32256, -32256, -8]),
    ],
)
def test_telephone_codes_decode_to_the_levels_of_g711(
    read: Read, tag: int, codes: list[int], levels: list[int]
) -> None:
    assert values(read(riff(head(tag, 1, RATE, 8), chunk(b"data", bytes(codes))))) == levels


def test_extensible_pcm_is_read_like_plain_pcm(read: Read) -> None:
    extra = struct.pack("<HHIH", 22, 16, 4, PCM) + SUBFORMAT_TAIL

    sound = read(riff(head(EXTENSIBLE, 1, RATE, 16, extra=extra), chunk(b"data", struct.pack("<h", 0x4000))))

    assert values(sound) == [16384]


def test_channels_are_averaged(read: Read) -> None:
    frames = struct.pack("<6h", 0x4000, 0x1000, 0x1000, -0x4000, -0x1000, -0x1000)

    assert values(read(riff(head(PCM, 3, RATE, 16), chunk(b"data", frames)))) == [8192, -8192]
    assert values(read(wav_files.wav(np.full(9, 0.5), RATE, PCM, 16, 8))) == [16384] * 9


@pytest.mark.parametrize(
    ("channels", "live"),
    [(2, (0,)), (2, (1,)), (4, (2,)), (6, (2,)), (6, (0, 1)), (6, (3,)), (8, (4, 5))],
    ids=["left", "right", "one of four", "centre", "front", "bass", "surround"],
)
def test_silent_channels_make_no_sound_quieter(read: Read, channels: int, live: tuple[int, ...]) -> None:
    frames = np.zeros((RATE, channels))
    frames[:, live] = np.tile(tone(RATE, level=0.5), 3)[:RATE, None]
    # A channel that nobody spoke into still has its noise.
    frames[:, (live[0] + 1) % channels] += np.random.default_rng(1).normal(0, 0.0005, RATE) * (channels > len(live))

    heard = np.abs(values(read(encoded(frames, RATE, "WAV", "PCM_16")))).max()

    assert heard == pytest.approx(0.5 * 32768, rel=0.03)


def test_a_surround_of_live_channels_is_not_clipped(read: Read) -> None:
    frames = np.repeat(tone(RATE, level=0.9)[:, None], 6, axis=1)

    assert 0.8 * 32767 < np.abs(values(read(encoded(frames, RATE, "WAV", "FLOAT")))).max() <= 32768


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("W64", "PCM_16"), ("AU", "PCM_16"), ("RF64", "PCM_16"), ("MP3", None)],
)
def test_the_sound_that_a_file_lacks_is_known(read: Read, container: str, subtype: str) -> None:
    content = encoded(np.tile(tone(RATE), 10), RATE, container, subtype)

    assert read(content).missing_seconds < 0.05
    cut = read(content[: len(content) * 6 // 10])
    assert cut.missing_seconds == pytest.approx(10 * len(tone(RATE)) / RATE - cut.seconds, abs=0.05)


def test_a_caf_file_that_is_not_read_names_its_coding(read: Read) -> None:
    description = struct.pack(">d4s", 44_100, b"aac ") + bytes(16)
    fault = refusal(read, b"caff\0\1\0\0desc" + struct.pack(">q", 32) + description + b"data" + b"\xff" * 8 + bytes(99))

    assert str(fault).startswith("CAF (aac) data that can't be decoded") and fault.is_convertible


def test_16_bit_sound_of_the_right_rate_passes_bit_for_bit(read: Read) -> None:
    pcm = np.arange(-32768, 32768).astype("<i2")

    assert read(wav.encode(pcm.tobytes(), RATE)).pcm == pcm.tobytes()
    flac = io.BytesIO()
    soundfile.write(flac, pcm, RATE, format="FLAC", subtype="PCM_16")
    assert read(flac.getvalue()).pcm == pcm.tobytes()


def test_loud_samples_are_clipped_and_nan_becomes_silence(read: Read) -> None:
    stored = struct.pack("<5f", 3, -3, math.inf, -math.inf, math.nan)

    assert values(read(riff(head(FLOAT, 1, RATE, 32), chunk(b"data", stored)))) == [32767, -32768, 32767, -32768, 0]


@pytest.mark.parametrize(("name", "container", "subtype"), KINDS)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2)])
def test_compressed_files_are_heard(
    read: Read, name: str, container: str, subtype: str, rate: int, channels: int
) -> None:
    samples = np.repeat(tone(rate, 1.0)[:, None], channels, axis=1)

    sound = read(encoded(samples, rate, container, subtype))

    pcm = np.frombuffer(sound.pcm, "<i2") / 32768
    middle = pcm[2000:14000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert len(pcm) == pytest.approx(RATE, abs=0.1 * RATE)
    assert spectrum.argmax() * RATE / len(middle) == pytest.approx(1000, abs=1)
    assert math.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.05)
    assert (sound.channels, sound.source_rate, sound.is_pcm16) == (channels, rate, name == "flac")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "container", "subtype"), KINDS)
def test_blocks_leave_no_seam_in_compressed_sound(
    read: Read, monkeypatch: pytest.MonkeyPatch, name: str, container: str, subtype: str
) -> None:
    content = encoded(soundfile.read(SPEECH)[0], RATE, container, subtype)
    whole = read(content).pcm

    monkeypatch.setattr(sound_file, "BLOCK_BYTES", 4000)

    assert read(content).pcm == whole


@pytest.mark.parametrize("codec", ["MS_ADPCM", "IMA_ADPCM", "GSM610"])
def test_compressed_sound_in_a_wav_file_is_heard(read: Read, codec: str) -> None:
    sound = read(encoded(tone(RATE, 1.0), RATE, "WAV", codec))

    assert sound.seconds == pytest.approx(1, abs=0.1)
    assert np.abs(np.frombuffer(sound.pcm, "<i2")).max() == pytest.approx(16384, rel=0.2)


@pytest.mark.parametrize(
    "content",
    [
        riff(b"LIST" + struct.pack("<I", 5) + b"INFOa", head(PCM, 1, RATE, 16), chunk(b"data", bytes(6400))),
        ID3 + riff(head(PCM, 1, RATE, 16), chunk(b"data", bytes(6400))),
        ID3 + riff(head(PCM, 1, RATE, 16), chunk(b"data", bytes(6400), 0)),
        b"ID3\4\0\x10\0\0\2\0" + bytes(266) + riff(head(PCM, 1, RATE, 16), chunk(b"data", bytes(6400), 0)),
        riff(head(PCM, 1, RATE, 24, block=4), chunk(b"data", bytes(12800))),
    ],
    ids=["odd chunk without pad byte", "ID3 in front", "ID3 and size 0", "ID3 with a footer", "24 bits in 4 bytes"],
)
def test_faults_of_real_writers_are_repaired(read: Read, content: bytes) -> None:
    assert len(read(content).pcm) == 6400


def test_24_bits_in_4_bytes_sound_as_loud_as_they_are(read: Read) -> None:
    stored = np.rint(tone(RATE) * 0x7FFFFF).astype("<i4") << 8

    sound = read(riff(head(PCM, 1, RATE, 24, block=4), chunk(b"data", stored.tobytes())))

    assert np.abs(np.frombuffer(sound.pcm, "<i2") - tone(RATE) * 32768).max() < 1


def test_a_big_endian_wav_file_is_heard(read: Read) -> None:
    stored = np.array([0, 16384, -16384], ">i2").tobytes()
    layout = struct.pack(">4sIHHIIHH", b"fmt ", 16, PCM, 1, RATE, 2 * RATE, 2, 16)

    content = b"RIFX" + struct.pack(">I", 42) + b"WAVE" + layout + struct.pack(">4sI", b"data", 6) + stored

    assert values(read(content)) == [0, 16384, -16384]


def test_a_streamed_flac_file_has_the_length_of_its_sound(read: Read) -> None:
    content = bytearray(encoded(tone(RATE, 1.0), RATE, "FLAC", "PCM_16"))
    # The last 36 bits before the checksum in STREAMINFO: how many samples; 0 is unknown.
    content[21] &= 0xF0
    content[22:26] = bytes(4)

    assert read(bytes(content)).seconds == 1


@pytest.mark.parametrize(
    ("content", "reason", "is_convertible"),
    [
        (b"", "not a sound file: 0 bytes", False),
        (b"RIFF", "not a sound file: 4 bytes", False),
        (b"Hello, this is a text file.", "not a sound file: begins with b'Hell'", False),
        ("Hello, this is a text file.".encode("utf-16"), "not a sound file: begins with b'\\xff\\xfe", False),
        (b"RIFF\x20\0\0\0AVI LIST" + bytes(40), "not a sound file: begins with b'RIFF'", False),
        (b"RF64" + bytes(40), "not a sound file", False),
        (b"FORM" + bytes(40), "AIFF data that can't be decoded", False),
        (b"\0\0\0\x20ftypM4A " + bytes(40), "an MP4 file", True),
        (b"RIFX" + bytes(40), "RIFX data that can't be decoded", False),
        (b"ID3\3" + bytes(40), "MP3 data that can't be decoded", False),
        (b"\xff\xfb\x90\x00" + bytes(40), "MP3 data that can't be decoded", False),
        (b"fLaC" + bytes(40), "FLAC data that can't be decoded", True),
        (b"OggS" + bytes(40), "Ogg data that can't be decoded", False),
        (riff(head(PCM, 1, RATE, 16)), "no data chunk", False),
        (riff(head(PCM, 1, RATE, 16), chunk(b"data", b"")), "0 samples", False),
        (riff(head(PCM, 1, 999, 16), chunk(b"data", bytes(8))), "a rate of 999 Hz", False),
        (riff(head(PCM, 1, 400_000, 16), chunk(b"data", bytes(8))), "a rate of 400000 Hz", False),
        (riff(head(2, 1, RATE, 4, block=256), chunk(b"data", bytes(8))), "WAV data that can't be decoded", False),
        (riff(head(EXTENSIBLE, 1, RATE, 16, extra=bytes(24)), chunk(b"data", bytes(8))), "can't be decoded", False),
        (riff(head(PCM, 1, 1000, 8), chunk(b"data", bytes(600_001))), "600 s of sound are more than the 600 s", False),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_file(
    read: Read, content: bytes, reason: str, is_convertible: bool
) -> None:
    refused = refusal(read, content)

    assert reason in str(refused) and refused.is_convertible == is_convertible


@pytest.mark.slow
@pytest.mark.parametrize(("name", "container", "subtype"), KINDS)
@pytest.mark.parametrize("part", [0.02, 0.6])
def test_a_truncated_file_is_shorter_or_refused(
    read: Read, name: str, container: str, subtype: str, part: float
) -> None:
    content = encoded(soundfile.read(SPEECH)[0], RATE, container, subtype)
    try:
        sound = read(content[: int(len(content) * part)])
    except SoundError as refused:
        assert "can't be decoded" in str(refused) or "0 samples" in str(refused)
    else:
        assert 0 < sound.seconds < 3.7


def test_ten_minutes_are_still_played(read: Read) -> None:
    sound = read(riff(head(PCM, 1, 1000, 8), chunk(b"data", bytes(600_000))), 1000)

    assert (sound.seconds, len(sound.pcm)) == (600, 1_200_000)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "container", "subtype"), KINDS)
def test_a_file_that_is_too_long_is_refused_before_it_is_decoded(
    read: Read, monkeypatch: pytest.MonkeyPatch, name: str, container: str, subtype: str
) -> None:
    monkeypatch.setattr(sound_file, "MAX_SECONDS", 1)

    refused = refusal(read, encoded(tone(RATE, 5.0), RATE, container, subtype))

    assert str(refused) == "5 s of sound are more than the 1 s that are played"


def test_sound_of_unknown_length_is_refused_at_the_limit(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(encoded(tone(RATE, 2.0), RATE, "FLAC", "PCM_16"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    monkeypatch.setattr(sound_file, "MAX_SECONDS", 1)
    monkeypatch.setattr(sound_file, "BLOCK_BYTES", 4000)

    assert "more sound than the 1 s that are played" in str(refusal(read, bytes(content)))


@pytest.mark.slow
def test_a_long_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    stored = np.random.default_rng(5).integers(-30000, 30000, 8 * 48_000).astype("<i2").tobytes()
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(riff(head(PCM, 8, 48_000, 16), b"data" + bytes(4)))
        for _ in range(120):
            file.write(stored)
    code = (
        "import resource, sys; from pathlib import Path; from parley.speech import sound_file;"
        "sound_file.read(Path(sys.argv[2]), 8000);"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "sound_file.read(Path(sys.argv[1]), 8000);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )

    grown = subprocess.run(
        [sys.executable, "-c", code, str(path), str(SPEECH)],
        cwd=SPEECH.parents[1],
        capture_output=True,
        check=True,
        text=True,
    )

    # Of a file of 88 MiB: the PCM in pieces and joined, 1.8 MiB each, and the blocks at work.
    assert int(grown.stdout) < 12 * 1024


def test_blocks_sound_the_same_as_the_whole(read: Read) -> None:
    stored = np.random.default_rng(5).integers(-30000, 30000, 3 * 200_001).astype("<i2")

    sound = read(riff(head(PCM, 3, 44_100, 16), chunk(b"data", stored.tobytes())))

    mean = stored.reshape(-1, 3).astype(np.float64).mean(axis=1) / 32768
    whole = soxr.resample(mean.astype(np.float32), 44_100, RATE, quality="HQ") * 32768
    assert np.abs(np.frombuffer(sound.pcm, "<i2") - whole).max() < 2


def test_a_tone_keeps_its_frequency_and_level_through_resampling(read: Read) -> None:
    pcm = np.frombuffer(read(wav_files.wav(tone(44_100, 1.0), 44_100, PCM, 24, 2)).pcm, "<i2") / 32768

    assert len(pcm) == RATE
    middle = pcm[2000:14000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * RATE / len(middle) == pytest.approx(1000, abs=1)
    assert math.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.001)


def test_sound_above_the_new_rate_does_not_fold_back(read: Read) -> None:
    sound = read(wav_files.wav(tone(48_000, 1.0, hz=11_000), 48_000, FLOAT, 32))

    assert np.abs(np.frombuffer(sound.pcm, "<i2")[1000:-1000]).max() < 33  # -60 dBFS


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(SoundError, match="1073741824 bytes are more"):
        sound_file.read(path, RATE)


def test_a_pipe_or_folder_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)

    for path in (pipe, tmp_path):
        with pytest.raises(SoundError, match="not a regular file"):
            sound_file.read(path, RATE)
    with pytest.raises(SoundError, match="can't be read: No such file"):
        sound_file.read(tmp_path / "absent.wav", RATE)


def test_a_failing_disk_is_a_refusal(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: wav.RepairedWav, buffer: bytearray) -> int:
        if self.tell() >= 65_536:
            self.failure = OSError(5, "Input/output error")
            return 0
        return original(self, buffer)

    original = wav.RepairedWav.readinto
    monkeypatch.setattr(wav.RepairedWav, "readinto", failing)

    assert str(refusal(read, wav.encode(bytes(200_000), RATE))) == "can't be read: Input/output error"


def test_a_missing_libsndfile_is_a_refusal(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    sound_file._library.cache_clear()

    assert "libsndfile can't be loaded" in str(refusal(read, wav.encode(bytes(200), RATE)))


@pytest.mark.slow
def test_the_library_is_not_loaded_before_a_file_is_read() -> None:
    code = "import sys; from parley.speech import sound_file; sys.exit('soundfile' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=SPEECH.parents[1], check=False).returncode == 0


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    garbage=st.binary(max_size=80),
    start=st.sampled_from(
        [
            b"",
            b"RIFF\0\0\0\0WAVE",
            b"RIFF\0\0\0\0WAVE" + head(PCM, 1, RATE, 16),
            b"RIFF\0\0\0\0WAVE" + head(PCM, 1, RATE, 16) + b"data\0\0\0\0",
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
            b"fLaC",
            b"OggS",
            b"RIFX",
            b"\xff\xfb\x90\x64",
            ID3,
        ]
    ),
)
def test_random_bytes_give_sound_or_a_refusal_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(start + garbage)
    try:
        sound = sound_file.read(path, RATE)
    except SoundError as refused:
        assert str(refused)
    else:
        assert len(sound.pcm) % 2 == 0
