"""The values of the speech package: frozen, and empty by default where nothing is known."""

import dataclasses

import pytest

from parley.speech.utterance import AudioPiece, Utterance


def test_an_utterance_is_frozen_and_claims_no_words() -> None:
    utterance = Utterance("welcome", "Welcome.", b"\0\0", 16_000, simulated=False)

    assert utterance.words == () and not utterance.words_estimated
    with pytest.raises(dataclasses.FrozenInstanceError):
        utterance.transcript = "Goodbye."  # type: ignore[misc]


def test_an_empty_piece_has_neither_sound_nor_text() -> None:
    assert AudioPiece() == (b"", "", ())
    assert AudioPiece(b"\0\0") != AudioPiece()
