"""The WAV reader and writer, held against files written byte by byte."""

import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.speech import wav

SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def header(tag=1, channels=1, rate=16000, bits=16, block=None, extra=b""):
    block = channels * bits // 8 if block is None else block
    body = struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block, bits) + extra
    return chunk(b"fmt ", body)


def chunk(name, body, size=None):
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def riff(*chunks):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tone(rate, seconds=1.0, hz=1000, level=0.5):
    return level * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)


def refusal(content):
    with pytest.raises(wav.WavError) as caught:
        wav.parse(content)
    return str(caught.value)


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
def test_every_sample_format_means_the_same_sound(tag, bits, stored):
    sound = wav.parse(riff(header(tag=tag, bits=bits, rate=8000), chunk(b"data", stored)))

    assert sound.samples.tolist() == [0, 0.5, -0.5, -1]
    assert sound.samples.dtype == np.float32
    assert sound.rate == 8000


@pytest.mark.parametrize(
    ("tag", "codes", "levels"),
    [
        (7, [0xFF, 0x80, 0x00, 0xEF], [0, 32124, -32124, 132]),
        (6, [0xD5, 0xAA, 0x2A, 0x55], [8, 32256, -32256, -8]),
    ],
)
def test_telephone_codes_decode_to_the_levels_of_g711(tag, codes, levels):
    sound = wav.parse(riff(header(tag=tag, bits=8), chunk(b"data", bytes(codes))))

    assert (sound.samples * 32768).tolist() == levels


def test_extensible_pcm_is_read_like_plain_pcm():
    extra = struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", 1) + SUBFORMAT_TAIL

    sound = wav.parse(riff(header(tag=0xFFFE, extra=extra), chunk(b"data", struct.pack("<h", 0x4000))))

    assert sound.samples.tolist() == [0.5]


def test_channels_are_averaged():
    frames = struct.pack("<6h", 0x4000, 0, 0x2000, -0x4000, 0, -0x2000)

    sound = wav.parse(riff(header(channels=3), chunk(b"data", frames)))

    assert sound.samples.tolist() == [0.25, -0.25]


@pytest.mark.parametrize("size", [0, 3, 5, 0x7FFFFFF0, 0xFFFFFFFF])
def test_the_bytes_that_are_there_count_not_the_size_in_the_header(size):
    content = riff(header(), b"data" + struct.pack("<I", size) + struct.pack("<2h", 0x4000, -0x4000) + b"\7")

    samples = wav.parse(content).samples.tolist()

    assert samples == ([0.5] if size == 3 else [0.5, -0.5])


def test_chunks_before_the_sound_are_passed_over_with_their_padding_and_those_after_it_are_not_heard():
    silence = chunk(b"data", struct.pack("<h", 0))

    sound = wav.parse(riff(chunk(b"LIST", b"odd"), header(), chunk(b"JUNK", b"x"), silence, chunk(b"LIST", b"y" * 8)))

    assert sound.samples.tolist() == [0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes"),
        (b"RIFF", "4 bytes"),
        (b"RIFX" + bytes(40), "RIFX"),
        (b"RF64" + bytes(40), "RF64"),
        (b"ID3\3" + bytes(40), "MP3"),
        (b"\xff\xfb\x90\x00" + bytes(40), "MP3"),
        (b"Hello, this is a text file.", "b'Hell'"),
        (riff(header()), "no data chunk"),
        (riff(chunk(b"data", b"\0\0")), "no fmt chunk"),
        (riff(chunk(b"fmt ", b"\1\0"), chunk(b"data", b"\0\0")), "2 bytes instead of 16"),
        (riff(header(), chunk(b"data", b"")), "0 samples"),
        (riff(header(), chunk(b"data", b""), chunk(b"LIST", b"words")), "0 samples"),
        (riff(header(rate=0), chunk(b"data", b"\0\0")), "0 Hz"),
        (riff(header(channels=0), chunk(b"data", b"\0\0")), "0 channels"),
        (riff(header(tag=0x55, bits=0, block=1), chunk(b"data", b"\0\0")), "MP3"),
        (riff(header(tag=2, bits=4, block=256), chunk(b"data", b"\0\0")), "Microsoft ADPCM"),
        (riff(header(bits=12, block=2), chunk(b"data", b"\0\0")), "PCM with 12 bits"),
        (riff(header(bits=24, block=4), chunk(b"data", bytes(8))), "4 bytes a frame where 3"),
        (riff(header(tag=0xFFFE, extra=bytes(24)), chunk(b"data", b"\0\0")), "unknown sub-format"),
        (riff(header(bits=8, rate=1000), chunk(b"data", bytes(600_001))), "more than the 600 s"),
        (riff(*[chunk(b"JUNK", b"")] * 2000, header(), chunk(b"data", b"\0\0")), "no data chunk"),
    ],
)
def test_what_can_not_be_played_is_refused_by_the_name_of_what_it_is(content, said):
    assert said in refusal(content)


def test_a_foreign_format_comes_with_the_command_that_mends_it():
    assert "ffmpeg -i IN.wav" in refusal(b"RIFX" + bytes(40))


def test_ten_minutes_are_still_played():
    sound = wav.parse(riff(header(bits=8, rate=1000), chunk(b"data", bytes(600_000))))

    assert len(sound.samples) == 600_000


def test_sound_is_read_in_blocks_and_sounds_the_same_as_in_one(tmp_path: Path):
    stored = np.random.default_rng(5).integers(-30000, 30000, 3 * 200_001).astype("<i2")
    path = tmp_path / "long.wav"
    path.write_bytes(riff(header(channels=3, rate=44100), chunk(b"data", stored.tobytes())))
    sound = wav.read(path)

    blocks = list(sound.blocks())

    assert max(len(block) for block in blocks) * 6 <= wav.BLOCK_BYTES and len(blocks) > 4
    mean = stored.reshape(-1, 3).astype(np.float64).mean(axis=1) / 32768
    assert np.abs(np.concatenate(blocks) - mean).max() < 1e-6
    whole = soxr.resample(sound.samples, 44100, 16000, quality="HQ") * 32768
    assert np.abs(np.frombuffer(wav.to_pcm16(sound, 16000), "<i2") - whole).max() < 2


def test_a_file_that_goes_before_it_is_read_is_a_refusal(tmp_path: Path):
    path = tmp_path / "gone.wav"
    path.write_bytes(wav.encode(bytes(100), 16000))
    sound = wav.read(path)
    path.unlink()

    with pytest.raises(wav.WavError, match="can't be read: No such file"):
        wav.to_pcm16(sound, 16000)


def test_a_file_over_the_cap_is_refused_unread(tmp_path: Path):
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(wav.WavError, match="1073741824 bytes are more"):
        wav.read(path)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)

    for path in (pipe, tmp_path):
        with pytest.raises(wav.WavError, match="not a regular file"):
            wav.read(path)
    with pytest.raises(wav.WavError, match="No such file"):
        wav.read(tmp_path / "absent.wav")


def test_a_tone_keeps_its_frequency_and_level_through_resampling():
    left = np.rint(tone(44100) * 0x7FFFFF).astype("<i4")
    stored = np.repeat(left, 2).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    content = riff(header(channels=2, rate=44100, bits=24), chunk(b"data", stored))

    pcm = np.frombuffer(wav.to_pcm16(wav.parse(content), 16000), "<i2") / 32768

    assert len(pcm) == 16000
    middle = pcm[2000:14000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * 16000 / len(middle) == pytest.approx(1000, abs=1)
    assert math.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.001)


def test_sound_above_the_new_rate_does_not_fold_back():
    sound = wav.parse(
        riff(header(tag=3, bits=32, rate=48000), chunk(b"data", tone(48000, hz=11000).astype("<f4").tobytes()))
    )

    pcm = np.frombuffer(wav.to_pcm16(sound, 16000), "<i2")[1000:-1000]

    assert np.abs(pcm).max() < 33  # -60 dBFS


def test_16_bit_sound_of_the_right_rate_passes_bit_for_bit():
    pcm = np.arange(-32768, 32768).astype("<i2").tobytes()

    assert wav.to_pcm16(wav.parse(wav.encode(pcm, 16000)), 16000) == pcm


def test_sound_that_is_too_loud_is_clipped_and_what_is_no_number_is_silent():
    stored = struct.pack("<5f", 3, -3, math.inf, -math.inf, math.nan)

    pcm = wav.to_pcm16(wav.parse(riff(header(tag=3, bits=32), chunk(b"data", stored))), 16000)

    assert struct.unpack("<5h", pcm) == (32767, -32768, 32767, -32768, 0)


def test_a_written_file_has_the_canonical_header():
    expected = "524946462800000057415645666d7420100000000100010080bb0000007701000200100064617461040000000100feff"

    assert wav.encode(bytes.fromhex("0100feff"), 48000).hex() == expected


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVE" + header(), b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"]),
)
def test_random_bytes_give_sound_or_a_refusal_and_nothing_else(garbage, start):
    try:
        sound = wav.parse(start + garbage)
    except wav.WavError as refused:
        assert str(refused)
    else:
        assert np.isfinite(sound.samples).all()
