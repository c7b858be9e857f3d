"""The tables of English: months, days, currencies, units, signs and abbreviations.

A further unit, sign or abbreviation is one line here. What stands around it is the business of the rules.
"""

from parley.speech.english import abbreviations

MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
# By the full name and by three letters; "Sept" is common as well.
MONTH_OF = {name[:length].lower(): name for name in MONTHS for length in (3, len(name))} | {"sept": "September"}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
DAY_OF = {name[:length].lower(): name for name in DAYS for length in (3, 4, 5, len(name))}
SHORT_DAYS = {name[:2].lower(): name for name in DAYS}
"""Days by two letters, which are words elsewhere: "Mo-Fr", "Sa 10:00"."""
LETTER_DAYS = {"M": "Monday", "T": "Tuesday", "Tu": "Tuesday", "W": "Wednesday", "Th": "Thursday", "F": "Friday"}
LETTER_DAYS |= {"S": "Saturday", "Sa": "Saturday", "Su": "Sunday"}
"""Days by a letter or two: "M–Th", "M/W/F"."""
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "CA$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "AU$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "Rs": ("rupee", "rupees", "paisa", "paise"),
    "US$": ("US dollar", "US dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "R$": ("real", "reals", "centavo", "centavos"),
    "NZ$": ("New Zealand dollar", "New Zealand dollars", "cent", "cents"),
    "HK$": ("Hong Kong dollar", "Hong Kong dollars", "cent", "cents"),
    "S$": ("Singapore dollar", "Singapore dollars", "cent", "cents"),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₺": ("lira", "lira", "kurus", "kurus"),
    "₪": ("shekel", "shekels", "agora", "agorot"),
    "฿": ("baht", "baht", "satang", "satang"),
    "₫": ("dong", "dong", "xu", "xu"),
    "₱": ("peso", "pesos", "centavo", "centavos"),
    "₦": ("naira", "naira", "kobo", "kobo"),
    "₴": ("hryvnia", "hryvnias", "kopiyka", "kopiykas"),
    "zł": ("zloty", "zlotys", "grosz", "groszy"),
    "kr": ("krona", "kronor", "ore", "ore"),
    "CN¥": ("yuan", "yuan", "fen", "fen"),
    "MX$": ("Mexican peso", "Mexican pesos", "centavo", "centavos"),
    "Kč": ("koruna", "korunas", "haler", "halers"),
    "AED": ("dirham", "dirhams", "fils", "fils"),
    "ZAR": ("rand", "rand", "cent", "cents"),
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
    "NZD": "NZ$",
    "HKD": "HK$",
    "SGD": "S$",
    "RUB": "₽",
    "TRY": "₺",
    "ILS": "₪",
    "THB": "฿",
    "VND": "₫",
    "PHP": "₱",
    "NGN": "₦",
    "UAH": "₴",
    "PLN": "zł",
    "SEK": "kr",
    "CNY": "CN¥",
    "RMB": "CN¥",
    "MXN": "MX$",
    "CZK": "Kč",
    "AED": "AED",
    "ZAR": "ZAR",
}
SCALE_SUFFIXES = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "mm": "million",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
}
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
    sqm: square meter
    kn: knot
    ★: star
    ha: hectare
    kg: kilogram
    g: gram
    st: stone, stone
    mg: milligram
    µg μg mcg: microgram
    lb lbs: pound
    oz: ounce
    l L ltr: liter
    ml mL: milliliter
    cl: centiliter
    dl dL: deciliter
    gal: gallon
    qt: quart
    cc: cubic centimeter
    tbsp: tablespoon
    tsp: teaspoon
    mol: mole
    mmol: millimole
    ppm: part per million
    ppb: part per billion
    IU: international unit
    ct: carat
    ly: light year
    h hr hrs: hour
    min mins: minute
    µs μs: microsecond
    ns: nanosecond
    s sec secs: second
    ms: millisecond
    yr yrs: year
    mo mos: month
    wk wks: week
    mph: mile per hour
    kph km/h: kilometer per hour
    mpg: mile per gallon
    rpm: revolution per minute
    bpm: beat per minute
    fps: frame per second
    dpi: dot per inch
    bit: bit
    kbit kb Kb: kilobit
    Mbit Mb: megabit
    Gbit Gb: gigabit
    kbps: kilobit per second
    Mbps: megabit per second
    Gbps: gigabit per second
    kB KB: kilobyte
    MB: megabyte
    GB: gigabyte
    TB: terabyte
    PB: petabyte
    KiB: kibibyte
    MiB: mebibyte
    GiB: gibibyte
    TiB: tebibyte
    MP: megapixel
    px: pixel
    pt: point
    W: watt
    kW: kilowatt
    mW: milliwatt
    MW: megawatt
    GW: gigawatt
    Wh: watt hour
    kWh: kilowatt hour
    MWh: megawatt hour
    V: volt
    mV: millivolt
    kV: kilovolt
    Ah: ampere hour
    µF μF: microfarad
    nF: nanofarad
    pF: picofarad
    lm: lumen
    lx: lux, lux
    mT: millitesla
    Sv: sievert
    mSv: millisievert
    mA: milliampere
    mAh: milliampere hour
    hp: horsepower, horsepower
    Hz: hertz, hertz
    kHz: kilohertz, kilohertz
    MHz: megahertz, megahertz
    GHz: gigahertz, gigahertz
    dB dBA: decibel
    dBm: decibel milliwatt
    Pa: pascal
    kPa: kilopascal
    hPa: hectopascal
    MPa: megapascal
    mbar: millibar
    atm: atmosphere
    mmHg: millimeter of mercury, millimeters of mercury
    psi: pound per square inch
    bar: bar, bar
    J: joule
    kJ: kilojoule
    cal: calorie
    kcal: kilocalorie
    N: newton
    kN: kilonewton
    Nm: newton meter
    Ω: ohm
    kΩ: kiloohm
    MΩ: megaohm
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
    "day": "day",
    "pax": "person",
    "ea": "each",
    "qtr": "quarter",
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
    "<=": "less than or equal to",
    ">=": "greater than or equal to",
    "!=": "is not equal to",
    "==": "equals",
    "->": "to",
    "=>": "to",
    "→": "to",
    "_": "underscore",
    "°": "degrees",
    "$": "dollars",
    "€": "euros",
    "£": "pounds",
    "¥": "yen",
}
"""Signs in texts that no rule has read; others are not said."""
WORDS = {
    **{sign: SIGNS[sign] for sign in "&+±=≠≈<>≤≥÷%@→"},
    **{sign: SIGNS[sign] for sign in ("<=", ">=", "!=", "==", "->", "=>")},
    **abbreviations.WORDS,
}
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
TOP_LEVEL = frozenset(
    """
    com org net edu gov mil int io co uk de fr es nl ch eu ca au info biz ai app dev tv shop store online site blog xyz
    cloud club tech example museum news agency email page website space studio design media network company support
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Top-level domains by which a host is known without "www." or a path."""
COUNTRY_DOMAINS = frozenset(
    """
    uk de fr nl ch es eu ca au at pl cz se fi dk pt gr ie jp cn kr br mx ar za nz sg hk
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Top-level domains that are read as letters."""
_LETTERED = """
    txt pdf exe html htm js ts py md csv tsv xml yml css php sql sh rs xls ppt png jpg svg wav gz rar iso
    dmg apk cfg ini dll rtf odt tmp
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
FILE_TYPES = {ending: ending.upper() for ending in _LETTERED} | {
    **{word: word for word in ("json", "zip", "log", "tar", "bat", "doc", "gif", "yaml", "toml", "jpeg", "go", "env")},
    **{
        "bz2": "BZ two",
        "7z": "seven Z",
        "cpp": "CPP",
        "docx": "doc X",
        "pptx": "PPT X",
        "xlsx": "XLS X",
        "jpeg": "J peg",
        "mp3": "MP three",
        "mp4": "MP four",
    },
}
"""Endings of files' names, and how each is read: as letters, or as a word."""
