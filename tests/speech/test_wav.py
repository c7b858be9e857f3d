"""The header of a WAV file: faults of writers are repaired or refused, and our own is canonical."""

import io
import struct
import wave

import pytest
import wav_files
from wav_files import EXTENSIBLE, FLOAT, PCM, chunk, head, riff

from parley.speech import wav
from parley.speech.wav import RepairedWav, SoundError

SOUND = struct.pack("<2h", 0x4000, -0x4000)
DATA = chunk(b"data", SOUND)
HEAD = head(PCM, 1, 16_000, 16)


def repaired(content: bytes, start: int = 0) -> bytes:
    return RepairedWav(io.BytesIO(content), start).buffered().read()


def refusal(content: bytes) -> str:
    with pytest.raises(SoundError) as caught:
        repaired(content)
    return str(caught.value)


def unpadded(name: bytes, body: bytes) -> bytes:
    """Return a chunk of odd size without its pad byte."""
    assert len(body) % 2
    return name + struct.pack("<I", len(body)) + body


def test_a_file_without_faults_is_unchanged() -> None:
    assert repaired(riff(HEAD, DATA)) == riff(HEAD, DATA)


@pytest.mark.parametrize("size", [0, 5, 0x7FFFFFF0, 0xFFFFFFFF])
def test_sound_of_an_unknown_size_reaches_to_the_end(size: int) -> None:
    assert repaired(riff(HEAD, b"data" + struct.pack("<I", size) + SOUND)) == riff(HEAD, DATA)


def test_a_data_chunk_that_is_truly_empty_stays_empty() -> None:
    assert repaired(riff(HEAD, chunk(b"data", b""), chunk(b"LIST", b"INFOwords."))) == riff(HEAD, chunk(b"data", b""))


@pytest.mark.parametrize("odd", [chunk(b"LIST", b"INFOa"), unpadded(b"LIST", b"INFOa"), unpadded(b"new ", b"abc")])
@pytest.mark.parametrize("size", [None, 0])
def test_odd_chunks_are_passed_over_with_and_without_a_pad_byte(odd: bytes, size: int | None) -> None:
    content = riff(odd, HEAD, odd, chunk(b"data", SOUND, size))

    assert repaired(content) == riff(HEAD, DATA)


def test_bytes_behind_the_sound_are_ignored() -> None:
    assert repaired(riff(HEAD, DATA, DATA, chunk(b"LIST", b"INFOwords.")) + b"garbage") == riff(HEAD, DATA)


def test_a_file_behind_a_tag_is_read_from_its_start() -> None:
    assert repaired(b"some tag" + riff(HEAD, DATA), 8) == riff(HEAD, DATA)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("tag", [PCM, EXTENSIBLE])
@pytest.mark.parametrize("bits", [20, 24])
def test_24_bits_in_4_bytes_are_declared_as_32_bits(channels: int, tag: int, bits: int) -> None:
    extra = struct.pack("<HHIH", 22, 24, 0, PCM) + wav_files.SUBFORMAT_TAIL if tag == EXTENSIBLE else b""
    data = chunk(b"data", bytes(16))

    written = repaired(riff(head(tag, channels, 16_000, bits, block=4 * channels, extra=extra), data))

    assert written == riff(head(PCM, channels, 16_000, 32), data)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (riff(HEAD), "no data chunk"),
        (riff(*[chunk(b"JUNK", b"")] * 2000, HEAD, DATA), "no data chunk"),
        (riff(DATA), "the fmt chunk has 0 bytes"),
        (riff(chunk(b"fmt ", b"\1\0"), DATA), "the fmt chunk has 2 bytes instead of 16"),
        (riff(head(PCM, 1, 0, 16), DATA), "1 channels at 0 Hz"),
        (riff(head(PCM, 0, 16_000, 16), DATA), "0 channels at 16000 Hz"),
        (riff(head(PCM, 9, 0xFFFFFFFF, 16, block=0), DATA), "9 channels of 16 bits at 4294967295 Hz"),
        (riff(head(PCM, 0xFFFF, 16_000, 24, block=0), DATA), "65535 channels of 24 bits at 16000 Hz"),
        (riff(head(PCM, 2, 16_000, 16, block=2), DATA), "2 bytes a frame where 4 are due: export it again"),
        (riff(head(PCM, 1, 16_000, 8, block=2), DATA), "2 bytes a frame where 1 are due"),
        (riff(head(FLOAT, 1, 16_000, 24, block=4), DATA), "4 bytes a frame where 3 are due"),
    ],
)
def test_an_absurd_header_is_refused(content: bytes, reason: str) -> None:
    assert reason in refusal(content)


def test_a_read_error_ends_the_file_and_is_kept() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 44:
                raise OSError(5, "Input/output error")
            return super().read(size)

    file = RepairedWav(Failing(riff(HEAD, chunk(b"data", SOUND))), 0)

    assert file.buffered().read() == riff(HEAD, DATA)[:44]
    assert file.failure is not None and file.failure.errno == 5


def test_seeking_stays_within_the_file() -> None:
    file = RepairedWav(io.BytesIO(riff(HEAD, DATA)), 0)

    assert file.seek(0, io.SEEK_END) == 48 and file.read(8) == b""
    assert file.seek(-4, io.SEEK_CUR) == 44 and file.read(8) == SOUND


def test_a_written_file_has_the_canonical_header() -> None:
    expected = "524946462800000057415645666d7420100000000100010080bb0000007701000200100064617461040000000100feff"

    written = wav.encode(bytes.fromhex("0100feff"), 48000)

    assert written.hex() == expected
    with wave.open(io.BytesIO(written)) as file:
        assert (file.getparams()[:4], file.readframes(9)) == ((1, 2, 48000, 2), bytes.fromhex("0100feff"))
