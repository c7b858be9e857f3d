"""English: its tables, and the rules by which written words are read. Number words: languages/english_numbers.

| modules | what they read |
|---|---|
| `tables` | months, currencies, units, signs |
| `times`, `ranges` | dates, times, decades, verses; "9-5", "$5-$10", "Mon-Fri" |
| `money`, `amounts` | prices, currencies; units, fractions |
| `spans`, `codes` | what several words say together; phone numbers, versions, codes, and what remains |
| `abbreviations`, `names` | abbreviations; streets and titles, Roman numerals |
| `addresses`, `signs` | hosts, mail, files, hashes; keys, star codes, slashes |
"""

from parley.speech.english import addresses, amounts, codes, money, names, ranges, signs, spans, times
from parley.speech.english.tables import WORDS
from parley.speech.normalization import Language, Rules

ENGLISH = Language(
    spans.spans,
    WORDS,
    # A rule may rely on those before it having declined: a date is no range, a range no phone number.
    Rules(
        (
            *money.rules,
            *times.rules,
            *ranges.rules,
            *codes.numeric_rules,
            *times.years,
            *names.rules,
            *signs.rules,
            *amounts.rules,
            *addresses.rules,
            *codes.rules,
        )
    ),
    codes.remainder,
)
