"""Samples keep their sound: in one piece or in many, in several channels or one, as floats or integers."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.speech import pcm
from parley.speech.pcm import Resampler, Samples


def tone(rate: int, seconds: float = 1.0, hz: float = 1000.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def converted(pieces: list[Samples], rate_in: int, rate_out: int) -> Samples:
    resampler = Resampler(rate_in, rate_out)
    return np.concatenate([*(resampler.resample(piece) for piece in pieces), resampler.flush()])


@pytest.mark.parametrize(("rate_in", "rate_out"), [(24000, 16000), (44100, 16000), (8000, 16000), (24000, 48000)])
def test_many_pieces_give_the_sound_of_one(rate_in: int, rate_out: int):
    whole = tone(rate_in)
    pieces = np.split(whole, [1, 2, 7, 500, 501, 4000, 4000, 7000])

    many = converted(pieces, rate_in, rate_out)

    assert len(many) == rate_out
    assert np.abs(many - soxr.resample(whole, rate_in, rate_out, quality="HQ")).max() < 1e-4


def test_pieces_converted_apart_would_click():
    pieces = np.split(tone(24000), range(960, 24000, 960))

    apart = np.concatenate([soxr.resample(piece, 24000, 16000, quality="HQ") for piece in pieces])

    assert np.abs(apart - converted(pieces, 24000, 16000)).max() > 0.01


def test_sound_of_the_right_rate_is_unchanged():
    samples = tone(16000)

    assert converted([samples], 16000, 16000).tobytes() == samples.tobytes()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3000), max_size=8))
def test_the_length_of_the_sound_is_kept(sizes: list[int]):
    result = converted([np.zeros(size, np.float32) for size in sizes], 24000, 16000)

    assert abs(len(result) - sum(sizes) * 2 / 3) <= 1


def test_samples_come_back_from_16_bits_as_they_went():
    samples = np.arange(-32768, 32768).astype("<i2").tobytes()

    assert pcm.to_int16(pcm.from_int16(samples)) == samples


def test_the_mean_of_the_channels_is_one_channel() -> None:
    frames = np.array([[0.5, 0.0, 0.25], [-0.5, 0.0, -0.25]], np.float32)

    assert pcm.to_mono(frames).tolist() == [0.25, -0.25]


def test_channels_are_clipped_before_they_are_averaged() -> None:
    frames = np.array([[3.0, 0.0], [np.inf, -np.inf], [np.nan, 1.0]], np.float32)

    assert pcm.to_mono(frames).tolist() == [0.5, 0.0, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_pieces_cut_anywhere_are_converted_without_a_seam(channels: int, cut: int) -> None:
    sound = np.repeat((tone(24_000)[:4800] * 30_000).astype("<i2"), channels).tobytes()
    converter, at_once = pcm.RateConverter(24_000, 16_000, channels), pcm.RateConverter(24_000, 16_000, channels)

    pieces = [converter.convert(sound[at : at + cut]) for at in range(0, len(sound), cut)]

    assert b"".join([*pieces, converter.flush()]) == at_once.convert(sound) + at_once.flush()
