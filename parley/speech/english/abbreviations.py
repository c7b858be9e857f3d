"""The abbreviations of English: what each stands for, and on what side of it its other words are.

The words that begin a phrase are here as well: `clause_splitting` needs both tables.

A further abbreviation is one line here. The rules that read them are in `names`; `clause_splitting` ends no clause at
the full stop of one of them while the sentence goes on.
"""


def table(text: str) -> dict[str, str]:
    """Return a table from lines of pairs "short = long", parted by semicolons."""
    pairs = (pair.partition("=") for line in text.strip().splitlines() for pair in line.split(";"))
    return {short.strip(): long.strip() for short, _, long in pairs if short.strip()}


TITLES = table("""
    Mr = Mister; Mrs = Missus; Ms = Miz; Prof = Professor; Rev = Reverend; Hon = Honorable; Fr = Father
    Sgt = Sergeant; Capt = Captain; Lt = Lieutenant; Col = Colonel; Maj = Major; Gen = General; Cpl = Corporal
    Gov = Governor; Sen = Senator; Rep = Representative; Pres = President; Amb = Ambassador; Supt = Superintendent
    Messrs = Messieurs; Cmdr = Commander; Adm = Admiral; Pvt = Private
""")
"""Titles before a name."""
STREETS = table("""
    St = Street; Ave = Avenue; Av = Avenue; Blvd = Boulevard; Rd = Road; Dr = Drive; Ln = Lane; Sq = Square; Pl = Place
    Ct = Court; Pkwy = Parkway; Hwy = Highway; Expy = Expressway; Fwy = Freeway; Ter = Terrace; Terr = Terrace
    Cir = Circle; Cres = Crescent; Aly = Alley; Tpke = Turnpike; Pk = Park; Plz = Plaza; Trl = Trail; Br = Bridge
    Hts = Heights; Xing = Crossing; Gdns = Gardens; Crt = Court; Rte = Route; Wy = Way; Bd = Boulevard
""")
"""Kinds of streets, behind their names."""
BEFORE_NAMES = {"St": "Saint", "Ste": "Sainte", "Dr": "Doctor", "Mt": "Mount", "Ft": "Fort", "Pt": "Point"}
"""Abbreviations before a name that mean something else behind one."""
DIRECTIONS = table("""
    N = North; S = South; E = East; W = West; NE = Northeast; NW = Northwest; SE = Southeast; SW = Southwest
""")
"""Directions in a street's name."""
STATES = table("""
    AL = Alabama; AK = Alaska; AZ = Arizona; AR = Arkansas; CA = California; CO = Colorado; CT = Connecticut
    DE = Delaware; FL = Florida; GA = Georgia; HI = Hawaii; ID = Idaho; IL = Illinois; IN = Indiana; IA = Iowa
    KS = Kansas; KY = Kentucky; LA = Louisiana; ME = Maine; MD = Maryland; MA = Massachusetts; MI = Michigan
    MN = Minnesota; MS = Mississippi; MO = Missouri; MT = Montana; NE = Nebraska; NV = Nevada; NH = New Hampshire
    NJ = New Jersey; NM = New Mexico; NY = New York; NC = North Carolina; ND = North Dakota; OH = Ohio; OK = Oklahoma
    OR = Oregon; PA = Pennsylvania; RI = Rhode Island; SC = South Carolina; SD = South Dakota; TN = Tennessee
    TX = Texas; UT = Utah; VT = Vermont; VA = Virginia; WA = Washington; WV = West Virginia; WI = Wisconsin
    WY = Wyoming
""")
"""States before a ZIP code."""
REFERENCES = table("""
    no = number; nos = numbers; nr = number; p = page; pp = pages; vol = volume; vols = volumes; ch = chapter
    chap = chapter; fig = figure; figs = figures; sec = section; art = article; para = paragraph; ver = version
    ext = extension; apt = apartment; rm = room; ste = suite; eq = equation; § = section; fl = floor; bldg = building
    hwy = Highway; rte = Route; op = opus; ed = edition; ref = reference; tel = telephone; dept = department
    min = minimum; max = maximum; temp = temperature; qty = quantity; ca = about; c = about; est = established
    approx = approximately; avg = average; exp = expires; acct = account; par = paragraph; pt = part; ser = serial
    v = verse; vv = verses; chs = chapters; id = ID; inv = invoice; ph = phone; cat = category; lvl = level; r = room
    incl = including; excl = excluding; vs = versus; cf = compare; appx = appendix; app = appendix; ex = example
    blk = block
""")
"""Abbreviations in front of a number, which they refer to."""
COUNTED = table("""
    min = minutes; mins = minutes; hr = hours; hrs = hours; sec = seconds; secs = seconds; in = inches; ft = feet
    yr = years; yrs = years; wk = weeks; wks = weeks; mo = months; mos = months; oz = ounces; lb = pounds; lbs = pounds
    mi = miles; yd = yards; gal = gallons; qt = quarts; pcs = pieces; pts = points; pt = points; ppl = people
    ea = each; doz = dozen; max = maximum; p = pence; pp = pages; deg = degrees; est = estimated; approx = approximately
""")
"""Abbreviations behind a number."""
WORDS = table("""
    e.g. = for example; e.g = for example; eg. = for example; i.e. = that is; i.e = that is; ie. = that is
    etc. = et cetera; etc = et cetera; vs. = versus; vs = versus; v. = versus; approx. = approximately
    WWI = World War one; WWII = World War two; WW1 = World War one; WW2 = World War two; w/c = week commencing
    y/y = year over year; m/m = month over month; q/q = quarter over quarter
    w/ = with; w/o = without; w/in = within; and/or = and or; either/or = either or; c/o = care of; b/c = because
    n/a = not applicable; N/A = not applicable; a/c = air conditioning; A/C = air conditioning; p/m = per month
    p/w = per week; p/h = per hour; p/d = per day; p/a = per year; p/p = per person; p.a. = per year; p.p. = per person
    C++ = C plus plus; C# = C sharp; F# = F sharp; a.k.a. = also known as; aka = also known as
    w.r.t. = with respect to; Jr. = Junior; Sr. = Senior; Inc. = Incorporated
    Ltd. = Limited; Corp. = Corporation; Assoc. = Association; Bros. = Brothers; Univ. = University
    Dept. = Department; dept. = department; Govt. = Government; govt. = government; Intl. = International
    Natl. = National; Mgr. = Manager; Asst. = Assistant; Attn. = attention; attn. = attention; misc. = miscellaneous
    Misc. = miscellaneous; cf. = compare; avg. = average; appt. = appointment
    appts. = appointments; acct. = account; addr. = address; ref. = reference; Ref. = reference; qty. = quantity
    temp. = temperature; tel. = telephone; Tel. = telephone; resp. = respectively; 
    ea. = each; doz. = dozen; pcs. = pieces; cont. = continued; esp. = especially
    prev. = previous; tech. = technical; admin. = administration
    24/7/365 = twenty-four seven three sixty-five; M-F = Monday to Friday; M–F = Monday to Friday
    Ctrl = Control; Cmd = Command; ppl = people; pcs = pieces
""")
"""Abbreviations that mean the same everywhere."""
NEVER_LAST = frozenset(
    """
    mr mrs ms dr prof rev hon sgt capt lt col maj gen gov sen rep pres st mt ft e.g i.e vs approx nos dept vol fig ext
    est apt tel incl excl cf ca attn misc jan feb apr jun jul aug sep sept oct nov dec mon tue tues thu thur thurs
    ste bd hwy rte bldg blk sq cu messrs ver acct mar rs rm ref temp qty p.o min max op ch exp chap para avg blvd ave
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Abbreviations, in small letters, that end no sentence: more of it follows."""
AMBIGUOUS = (
    frozenset(
        """
        No no Art Sec Par Sat Sun Wed Fri p pp Inc Co etc Ltd Corp Jr Sr Bros Fl fl sec art ed par
        """.split()  # noqa: SIM905 - shorter than a column of quoted names
    )
    | {short for short in (*STREETS, *COUNTED) if short.lower() not in NEVER_LAST}
    | {
        word[:-1]
        for word in WORDS
        if word.endswith(".") and "." not in word[:-1] and word[:-1].lower() not in NEVER_LAST
    }
)
"""Abbreviations that are words as well, or that end sentences: the next word tells."""
PHRASE_STARTS = frozenset(
    """
    and or but because that which who whom whose if when while until from to in on at for with of as so by before after
    since about into through during between without within over under than where how why although unless
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before which a speaker may pause."""
