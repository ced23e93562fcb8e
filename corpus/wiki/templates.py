# ruff: noqa: RUF001  (signs that templates stand for)
"""The templates of running text, written out: what is left out of a sentence otherwise leaves a hole in it.

`{{convert|1300|mi}}` is `1300 miles`. Infoboxes, references, navigation and all others are left out, counted by name.
"""

import re
from collections.abc import Callable

TemplateArguments = dict[str, str]  # by number ("1") or name
Expand = Callable[[TemplateArguments], str]

# Units of {{convert}} that are commonest, by their codes: one, many (Module:Convert/data of the English Wikipedia).
_UNITS = {
    "mi": ("mile", "miles"), "km": ("kilometre", "kilometres"), "m": ("metre", "metres"), "ft": ("foot", "feet"),
    "cm": ("centimetre", "centimetres"), "mm": ("millimetre", "millimetres"), "in": ("inch", "inches"),
    "yd": ("yard", "yards"), "nmi": ("nautical mile", "nautical miles"), "sqmi": ("square mile", "square miles"),
    "km2": ("square kilometre", "square kilometres"), "m2": ("square metre", "square metres"),
    "sqft": ("square foot", "square feet"), "acre": ("acre", "acres"), "ha": ("hectare", "hectares"),
    "lb": ("pound", "pounds"), "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"), "oz": ("ounce", "ounces"),
    "t": ("tonne", "tonnes"), "ST": ("short ton", "short tons"), "LT": ("long ton", "long tons"),
    "mph": ("mile per hour", "miles per hour"), "km/h": ("kilometre per hour", "kilometres per hour"),
    "kn": ("knot", "knots"), "L": ("litre", "litres"), "USgal": ("US gallon", "US gallons"), "hp": ("horsepower",) * 2,
    "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"), "F": ("°F", "°F"), "C": ("°C", "°C"),
    "K": ("K", "K"), "ly": ("light-year", "light-years"), "AU": ("astronomical unit", "astronomical units"),
    "cuft": ("cubic foot", "cubic feet"), "m3": ("cubic metre", "cubic metres"), "psi": ("psi", "psi"),
    "PD/sqmi": ("inhabitants per square mile",) * 2, "PD/km2": ("inhabitants per square kilometre",) * 2,
}  # fmt: skip
# Words between two values of {{convert}} (its documentation, "Ranges of values").
_BETWEEN = {
    "to": " to ", "-": "–", "–": "–", "and": " and ", "or": " or ", "by": " by ", "x": " by ", "×": " × ", "xx": " × ",
    "to(-)": " to ", "to about": " to about ", "+/-": " ± ", "±": " ± ", "&": " and ", "and(-)": " and ",
}  # fmt: skip
_NUMBER = re.compile(r"[-+−]?\d[\d,.\s/⁄+]*(?:e[-+]?\d+)?")
_LANGUAGES = {
    "el": "Greek", "grc": "Ancient Greek", "la": "Latin", "de": "German", "fr": "French", "ru": "Russian",
    "es": "Spanish", "it": "Italian", "ar": "Arabic", "he": "Hebrew", "pl": "Polish", "pt": "Portuguese",
    "nl": "Dutch", "sv": "Swedish", "tr": "Turkish", "fa": "Persian", "hy": "Armenian", "ka": "Georgian",
    "uk": "Ukrainian", "hu": "Hungarian", "cs": "Czech", "da": "Danish", "fi": "Finnish", "ro": "Romanian",
    "ja": "Japanese", "ko": "Korean", "zh": "Chinese", "sa": "Sanskrit", "hi": "Hindi", "ga": "Irish",
    "cy": "Welsh", "gd": "Scottish Gaelic", "ang": "Old English", "bg": "Bulgarian", "sr": "Serbian",
    "hr": "Croatian", "sl": "Slovene", "ca": "Catalan", "eu": "Basque",
}  # fmt: skip
_SPOKEN_OF = re.compile(r"(lang|ipa)-([a-z]{2,3})(?:-[a-z]+)?")


def expand_template(name: str, arguments: TemplateArguments) -> str | None:
    """What a template is in running text; None if that is not known here.

    Args:
        name: as written in the page.
        arguments: already written out, by number and name.
    """
    key = name.strip().replace("_", " ").lower()
    expand = _TEXTS.get(key)
    if expand is not None:
        return expand(arguments)
    if key == "citation" or key.startswith("cite "):
        return _citation(arguments)
    if key.startswith("formatnum:"):
        return key.removeprefix("formatnum:")
    found = _SPOKEN_OF.fullmatch(key)
    if found and found[1] == "lang":
        language = _LANGUAGES.get(found[2])
        return f"{language}: {arguments.get('1', '')}" if language else arguments.get("1", "")
    return None


def _citation(given: TemplateArguments) -> str:
    """A work in a list of them: who, when, what, where. (Those in references are gone before.)"""
    named = [given.get(name, "").strip() for name in ("last", "first")]
    who = given.get("author", "").strip() or ", ".join(filter(None, named)) or given.get("last1", "").strip()
    when = given.get("year", "").strip() or given.get("date", "").strip()
    what = given.get("title", "").strip() or given.get("chapter", "").strip()
    where = next((given[name].strip() for name in ("journal", "work", "publisher") if given.get(name, "").strip()), "")
    first = f"{who} ({when})" if who and when else who or when
    return ". ".join(filter(None, (first, what, where)))


def _convert(given: TemplateArguments) -> str:
    """`{{convert|5|to|10|km}}`: the quantity as it was given, its unit in words; what it converts to is left out."""
    values = [given[str(at)].strip() for at in range(1, 10) if str(at) in given]
    text, single, at = "", True, 0
    while at < len(values) and _NUMBER.fullmatch(values[at]):
        text, single, at = text + values[at], single and values[at] in ("1", "-1"), at + 1
        if at < len(values) and values[at] in _BETWEEN:
            text, single, at = text + _BETWEEN[values[at]], False, at + 1
        elif at + 1 < len(values) and _NUMBER.fullmatch(values[at + 1]):  # 5 ft 10 in
            text, single, at = f"{text} {_unit(values[at], values[at - 1] == '1')} ", True, at + 1
    if not text or at >= len(values):
        return " ".join(values[:2])
    if given.get("adj", "").strip() in ("on", "mid"):
        return f"{text}-{_unit(values[at], True)}"
    return f"{text} {_unit(values[at], single)}"


def _unit(code: str, single: bool) -> str:
    one, many = _UNITS.get(code, (code, code))
    return one if single else many


def _argument(*names: str) -> Expand:
    """The first of some arguments that is there."""
    return lambda given: next((given[name].strip() for name in names if given.get(name, "").strip()), "")


def _constant(text: str) -> Expand:
    return lambda given: text


def _before(sign: str) -> Expand:
    """A sign and the first argument."""
    return lambda given: sign + given.get("1", "").strip()


def _last(given: TemplateArguments) -> str:
    """The last argument that has no name."""
    return next((given[str(at)] for at in range(9, 0, -1) if given.get(str(at), "").strip()), "")


def _joined(separator: str) -> Expand:
    """All arguments without a name."""
    return lambda given: separator.join(given[str(at)].strip() for at in range(1, 30) if given.get(str(at), "").strip())


def _nihongo(given: TemplateArguments) -> str:
    inner = ", ".join(given[at].strip() for at in ("2", "3") if given.get(at, "").strip())
    return given.get("1", "").strip() + (f" ({inner})" if inner else "")


def _fraction(given: TemplateArguments) -> str:
    parts = [given[at].strip() for at in ("1", "2", "3") if given.get(at, "").strip()]
    if len(parts) == 3:
        return f"{parts[0]} {parts[1]}/{parts[2]}"
    return "/".join(parts) if len(parts) == 2 else f"1/{''.join(parts)}"


def _value(given: TemplateArguments) -> str:
    """`{{val|9.81|u=m/s2}}`"""
    error = given.get("2", "").strip()
    power = f" × 10^{given['e'].strip()}" if given.get("e", "").strip() else ""
    unit = f" {given['u'].strip()}" if given.get("u", "").strip() else ""
    return given.get("1", "").strip() + (f" ± {error}" if error else "") + power + unit


def _quotation(given: TemplateArguments) -> str:
    text = given.get("1") or given.get("text") or given.get("quote") or ""
    by = given.get("2") or given.get("author") or given.get("sign") or ""
    return f"\n{text.strip()}" + (f"\n— {by.strip()}" if by.strip() else "") + "\n"


def _since(given: TemplateArguments) -> str:
    word = given.get("pre", "").strip()
    date = " ".join(given[at].strip() for at in ("3", "2", "1") if given.get(at, "").strip())
    return f"{'as of' if given.get('lc') else 'As of'} {f'{word} ' if word else ''}{date}"


def _date(given: TemplateArguments) -> str:
    return "-".join(given[at].strip() for at in ("1", "2", "3") if given.get(at, "").strip())


_FIRST, _SECOND = _argument("1"), _argument("2", "1")
# By the name in small letters; what each is, the template's own page in the English Wikipedia says.
_TEXTS: dict[str, Expand] = {
    **dict.fromkeys(("convert", "cvt"), _convert),
    **dict.fromkeys(
        "nowrap nobr nobreak small smaller big bigger large nobold noitalic smallcaps sc sc2 smc center abbr em strong "
        "tooltip visible anchor vanchor unicode script math mvar var angbr code mono tt kbd samp strikethrough "
        "ipa ipa-all api allcaps lcfirst ucfirst nolink keypress bracket visible-anchor translit u underline sub sup "
        "music chem chem2 zh-full".split(),
        _FIRST,
    ),
    **dict.fromkeys("lang transl transliteration script/hebrew script/arabic ISOtranslit".lower().split(), _last),
    **dict.fromkeys(("color", "colour", "font color", "resize", "langx"), _SECOND),
    **dict.fromkeys(("nihongo", "nihongo2"), _nihongo),
    **dict.fromkeys(("frac", "fraction", "sfrac"), _fraction),
    **dict.fromkeys(("val", "gaps"), _value),
    **dict.fromkeys(("quote", "blockquote", "cquote", "quotation", "bquote", "quote box"), _quotation),
    **dict.fromkeys(("as of", "asof"), _since),
    **dict.fromkeys(("start date", "end date", "date", "dts"), _date),
    **dict.fromkeys(("circa", "c."), lambda given: f"c. {given.get('1', '').strip()}".strip()),
    **dict.fromkeys(("ill", "interlanguage link"), _argument("lt", "1")),
    **dict.fromkeys(("ndash", "en dash", "endash", "ndashb"), _constant("–")),
    **dict.fromkeys(("mdash", "em dash", "emdash", "—", "mdashb", "spaced mdash"), _constant("—")),
    **dict.fromkeys(("snd", "spnd", "spaced ndash", "spaced en dash", "dash"), _constant(" – ")),
    **dict.fromkeys(("nbsp", "space", "sp", "thinsp", "thin space", "nnbsp", "zwsp", "spaces"), _constant(" ")),
    **dict.fromkeys(("·", "dot", "middot", "bull", "•", "bullet"), _constant(" · ")),
    **dict.fromkeys(("bc", "bce"), lambda given: f"{given.get('1', '').strip()} BC".strip()),
    **dict.fromkeys(("ad", "ce"), lambda given: f"AD {given.get('1', '').strip()}".strip()),
    **dict.fromkeys(("hlist", "flatlist", "plainlist", "unbulleted list", "ubl"), _joined(", ")),
    **dict.fromkeys("aut dagger number polytonic arabic hebrew ar he gr grapheme decade".split(), _FIRST),
    **dict.fromkeys(("us$", "usd"), _before("US$")),
    **dict.fromkeys(("£", "gbp"), _before("£")),
    **dict.fromkeys(("euro", "€"), _before("€")),
    **dict.fromkeys(("e", "esp"), _before(" × 10^")),
    "'": _constant("'"), "'s": _constant("'s"), '"': _constant('"'), "!": _constant("|"), "=": _constant("="),
    "linktext": _joined(""), "us patent": _before("U.S. Patent "),
    "(": _constant("("), ")": _constant(")"), "sic": _FIRST, "respell": _joined("-"), "audio": _SECOND,
}  # fmt: skip
