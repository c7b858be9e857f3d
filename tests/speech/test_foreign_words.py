"""Other languages in Latin letters are told from English, and English that names a foreign thing is not."""

import pytest
from sentences import SENTENCES

from parley.speech.foreign_words import foreign_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wir haben von neun bis fünf Uhr geöffnet.", "de"),
        ("Guten Tag!", "de"),
        ("Einen Moment bitte, ich sehe nach.", "de"),
        ("Abrimos de lunes a viernes desde las nueve.", "es"),
        ("Buenos días, gracias por su llamada.", "es"),
        ("Nous sommes ouverts jusqu'à cinq heures, merci de votre appel.", "fr"),
        ("Siamo aperti fino alle cinque, grazie.", "it"),
        ("Estamos abertos até as cinco, obrigado.", "pt"),
        ("Wij zijn vandaag open tot vijf uur.", "nl"),
    ],
)
def test_another_language_is_told(text: str, language: str) -> None:
    assert foreign_language(text) == language


@pytest.mark.parametrize(
    "text",
    [
        *("Certainly!", "No.", "Yes, we can.", "We saw La Casa de Papel.", "The Rio de la Plata is wide.", "Hi Maria"),
        *("Die hard is on at nine.", "Room service: dial one.", "", "XK7-49QZ", "Los Angeles", "Made in Germany"),
        *("Also,", "AI,", "c.", "D.C.", "Um, well."),
    ],
)
def test_english_stays_english(text: str) -> None:
    assert foreign_language(text) is None


def test_english_sentences_are_english() -> None:
    assert [text for text in SENTENCES if foreign_language(text)] == []
