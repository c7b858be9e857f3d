"""The tables of English: months, days, currencies, units, signs and abbreviations.

A further unit, sign or abbreviation is one line here. What stands around it is the business of the rules.
"""

MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
# By the full name and by three letters; "Sept" is common as well.
MONTH_OF = {name[:length].lower(): name for name in MONTHS for length in (3, len(name))} | {"sept": "September"}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
DAY_OF = {name[:length].lower(): name for name in DAYS for length in (3, 4, 5, len(name))}
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "US$": ("US dollar", "US dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "R$": ("real", "reals", "centavo", "centavos"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
}
"""Currencies by their signs: one, many, one and many of their small units."""
CODES = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "KRW": "₩",
    "AUD": "A$",
    "CAD": "C$",
    "BRL": "R$",
    "CHF": "CHF",
}
SCALE_SUFFIXES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}
# Behind these the currency comes: "$3 million" is "three million dollars".
SCALE_WORDS = frozenset({"hundred", "thousand", "million", "billion", "trillion"})


def units(table: str) -> dict[str, tuple[str, str]]:
    """Return units by their symbols, in the singular and the plural, from lines of the form "ft: foot, feet".

    A plural that is left out is regular; symbols of one unit are parted by blanks.
    """
    found = {}
    for line in table.strip().splitlines():
        symbols, _, names = line.strip().partition(": ")
        one, _, many = names.partition(", ")
        first, per, rest = one.partition(" per ")
        found.update(dict.fromkeys(symbols.split(), (one, many or f"{first}s{per}{rest}")))
    return found


# "in" for inch is missing: it is a preposition far more often.
UNITS = units("""
    km: kilometer
    m: meter
    cm: centimeter
    mm: millimeter
    µm μm: micrometer
    nm: nanometer
    mi: mile
    ft: foot, feet
    yd: yard
    sqft: square foot, square feet
    ha: hectare
    kg: kilogram
    g: gram
    mg: milligram
    µg μg mcg: microgram
    lb lbs: pound
    oz: ounce
    l L: liter
    ml mL: milliliter
    cl: centiliter
    dl dL: deciliter
    gal: gallon
    h hr hrs: hour
    min mins: minute
    s sec secs: second
    ms: millisecond
    yr yrs: year
    mo: month
    wk wks: week
    mph: mile per hour
    kph km/h: kilometer per hour
    mpg: mile per gallon
    rpm: revolution per minute
    bpm: beat per minute
    fps: frame per second
    dpi: dot per inch
    bit: bit
    kbit: kilobit
    Mbit: megabit
    Gbit: gigabit
    kbps: kilobit per second
    Mbps: megabit per second
    Gbps: gigabit per second
    kB KB: kilobyte
    MB: megabyte
    GB: gigabyte
    TB: terabyte
    MP: megapixel
    px: pixel
    pt: point
    W: watt
    kW: kilowatt
    MW: megawatt
    Wh: watt hour
    kWh: kilowatt hour
    V: volt
    kV: kilovolt
    mA: milliampere
    mAh: milliampere hour
    hp: horsepower, horsepower
    Hz: hertz, hertz
    kHz: kilohertz, kilohertz
    MHz: megahertz, megahertz
    GHz: gigahertz, gigahertz
    dB: decibel
    Pa: pascal
    kPa: kilopascal
    hPa: hectopascal
    psi: pound per square inch
    bar: bar, bar
    J: joule
    kJ: kilojoule
    cal: calorie
    kcal: kilocalorie
    N: newton
    Nm: newton meter
    Ω: ohm
    kΩ: kiloohm
    °: degree
    °C: degree Celsius, degrees Celsius
    °F: degree Fahrenheit, degrees Fahrenheit
    %: percent, percent
    ‰: per mille, per mille
    ¢: cent
""")
POWERS = {"²": "square", "³": "cubic"}
PER = {
    "mo": "month",
    "yr": "year",
    "hr": "hour",
    "h": "hour",
    "wk": "week",
    "min": "minute",
    "s": "second",
    "sec": "second",
    "d": "day",
    "pp": "person",
    "sqft": "square foot",
}
"""Words behind a slash: "$5/mo"."""
SIGNS = {
    "&": "and",
    "+": "plus",
    "±": "plus or minus",
    "=": "equals",
    "≠": "is not",
    "≈": "about",
    "~": "about",
    "<": "less than",
    ">": "greater than",
    "≤": "less than or equal to",
    "≥": "greater than or equal to",
    "×": "times",
    "÷": "divided by",
    "√": "root",
    "^": "to the power of",
    "*": "star",
    "/": "slash",
    "%": "percent",
    "@": "at",
    "#": "number",
    "§": "section",
    "_": "underscore",
    "°": "degrees",
    "$": "dollars",
    "€": "euros",
    "£": "pounds",
    "¥": "yen",
}
"""Signs in texts that no rule has read; others are not said."""
# "St." is missing: street or saint, only the meaning tells.
WORDS = {
    **{sign: SIGNS[sign] for sign in "&+±=≠≈<>≤≥×÷%@"},
    "*": "times",
    "/": "or",
    "<=": SIGNS["≤"],
    ">=": SIGNS["≥"],
    "e.g.": "for example",
    "e.g": "for example",
    "i.e.": "that is",
    "i.e": "that is",
    "etc.": "et cetera",
    "etc": "et cetera",
    "vs.": "versus",
    "vs": "versus",
    "approx.": "approximately",
    "Dr.": "Doctor",
    "Mr.": "Mister",
    "Mrs.": "Missus",
    "Ms.": "Miz",
    "Prof.": "Professor",
    "w/": "with",
    "w/o": "without",
    "and/or": "and or",
    "c/o": "care of",
    "C++": "C plus plus",
    "C#": "C sharp",
}
REFERENCES = {
    "no": "number",
    "nos": "numbers",
    "p": "page",
    "pp": "pages",
    "vol": "volume",
    "vols": "volumes",
    "ch": "chapter",
    "chap": "chapter",
    "fig": "figure",
    "figs": "figures",
    "sec": "section",
    "art": "article",
    "para": "paragraph",
    "ver": "version",
    "ext": "extension",
    "apt": "apartment",
    "rm": "room",
    "ste": "suite",
    "eq": "equation",
    "§": "section",
}
"""Abbreviations in front of a number, which they refer to."""
BOOKS = frozenset(
    """
    genesis gen exodus exod leviticus lev numbers num deuteronomy deut joshua josh judges judg ruth samuel sam kings
    chronicles chron ezra nehemiah neh esther job psalm psalms ps proverbs prov ecclesiastes eccl isaiah isa jeremiah
    jer lamentations lam ezekiel ezek daniel dan hosea hos joel amos obadiah jonah micah nahum habakkuk zephaniah haggai
    zechariah malachi matthew matt mark luke john acts romans rom corinthians cor galatians gal ephesians eph
    philippians phil colossians col thessalonians thess timothy tim titus philemon hebrews heb james peter pet jude
    revelation rev quran qur'an koran surah sura ayah verse verses
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before a chapter and a verse."""
TOP_LEVEL = "com org net edu gov mil int io co uk de fr es nl ch eu ca au info biz ai app dev tv shop".split()  # noqa: SIM905
"""Top-level domains by which a host is known without "www." or a path."""
