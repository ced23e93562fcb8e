"""Whether an answer follows instructions that code can check, as IFEval does.

The instructions and their arguments are IFEval's (Zhou et al. 2023, "Instruction-Following Evaluation for Large
Language Models"), whose files have `instruction_id_list` and `kwargs` beside each `prompt`; and so is the meaning of
each: what counts as a word, a paragraph, a bullet. Two need a linguistic model, which is another one here: the
language, and where a sentence ends.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from camelid.errors import UserError, suggest_name
from camelid.files.read import Record
from camelid.text.language import guess_language

Arguments = Mapping[str, Any]
Check = Callable[[str, Arguments], bool]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a prompt.

    Attributes:
        name: e.g. "length_constraints:number_words": a name of `CHECKS`.
        arguments: e.g. {"relation": "at least", "num_words": 300}.
    """

    name: str
    arguments: Arguments = field(default_factory=dict)

    def followed(self, answer: str) -> bool:
        """Whether an answer follows it, to the letter; an empty answer follows nothing."""
        return bool(answer.strip()) and CHECKS[self.name](answer, self.arguments)

    def followed_loosely(self, answer: str) -> bool:
        """Whether it does so once a first line, a last line or asterisks are left out."""
        lines = answer.split("\n")
        parts = (answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])))
        return any(self.followed(form) for part in parts for form in (part, part.replace("*", "")))


def read_instructions(record: Record, place: str) -> tuple[Instruction, ...]:
    """A record's instructions, in IFEval's shape.

    Raises:
        UserError: it has none, one is unknown, or its arguments are not a list as long.
    """
    names, arguments = record.get("instruction_id_list"), record.get("kwargs")
    if not isinstance(names, list) or not names:
        raise UserError(f"{place}: field 'instruction_id_list' must be a list of instructions, as in IFEval's file")
    if not isinstance(arguments, list) or len(arguments) != len(names):
        raise UserError(f"{place}: field 'kwargs' must be a list with one object for each instruction")
    for name, given in zip(names, arguments, strict=True):
        if name not in CHECKS:
            raise UserError(f"{place}: no instruction is called {name!r}{suggest_name(str(name), CHECKS)}")
        if not isinstance(given, Mapping | None):
            raise UserError(f"{place}: field 'kwargs' must hold objects, found {given!r}")
        missing = [key for key in NEEDED.get(name, ()) if (given or {}).get(key) is None]
        if missing:
            raise UserError(f"{place}: instruction {name} needs {', '.join(missing)} in 'kwargs'")
    return tuple(
        Instruction(name, {key: value for key, value in (given or {}).items() if value is not None})
        for name, given in zip(names, arguments, strict=True)
    )


def _compared(count: int, relation: str, bound: int) -> bool:
    return count < bound if relation == "less than" else count >= bound


def _pattern(word: str) -> str:
    """A keyword as a regular expression, as IFEval takes it; to the letter where it is none, as "C++"."""
    try:
        re.compile(word)
    except re.error:
        return re.escape(word)
    return word


def _keywords(answer: str, given: Arguments) -> bool:
    return all(re.search(_pattern(word), answer, re.IGNORECASE) for word in given["keywords"])


def _keyword_frequency(answer: str, given: Arguments) -> bool:
    found = len(re.findall(_pattern(given["keyword"].strip()), answer, re.IGNORECASE))
    return _compared(found, given["relation"], given["frequency"])


def _forbidden_words(answer: str, given: Arguments) -> bool:
    return not any(re.search(rf"\b{_pattern(word)}\b", answer, re.IGNORECASE) for word in given["forbidden_words"])


def _letter_frequency(answer: str, given: Arguments) -> bool:
    found = answer.lower().count(given["letter"].strip().lower())
    return _compared(found, given["let_relation"], given["let_frequency"])


def _language(answer: str, given: Arguments) -> bool:
    return _is_in(answer, given["language"])


def _is_in(answer: str, language: str) -> bool:
    """Whether it is most likely in a language; without a letter it counts as being so, as in IFEval."""
    return not re.search(r"[^\W\d_]", answer) or guess_language(answer.lower())[0] == language.split("-")[0]


_ABBREVIATED = re.compile(r"(?<![\w.])(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|e\.g|i\.e|No|Inc|Ltd|Co|U\.S|[A-Z])\.$")
_END = re.compile(r"[.!?]+[\"'\u201d\u2019)\]*]*(?=\s|$)")


def count_sentences(text: str) -> int:
    """How many sentences: stretches up to a full stop, ! or ? before a blank that no abbreviation ends with."""
    count, start = 0, 0
    for found in _END.finditer(text):
        rest = text[found.end() :].lstrip()
        if found[0] == "." and rest and _ABBREVIATED.search(text, start, found.end()):
            continue
        count, start = count + 1, found.end()
    return count + bool(text[start:].strip())


def _sentences(answer: str, given: Arguments) -> bool:
    return _compared(count_sentences(answer), given["relation"], given["num_sentences"])


def _words(answer: str, given: Arguments) -> bool:
    return _compared(len(re.findall(r"\w+", answer)), given["relation"], given["num_words"])


def _paragraphs(answer: str, given: Arguments) -> bool:
    """Divided by `***`; one that is empty counts only at an end, where it is none."""
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    inner = parts[1:-1]
    return all(inner) and sum(map(bool, parts)) == int(given["num_paragraphs"])


def _paragraph_first_word(answer: str, given: Arguments) -> bool:
    """Divided by an empty line; the word ends at its first punctuation mark."""
    parts = answer.split("\n\n")
    count, place = sum(bool(part.strip()) for part in parts), given["nth_paragraph"]
    if count != given["num_paragraphs"] or place > count or not parts[place - 1].strip():
        return False
    first = parts[place - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", first.lower())[0] == str(given["first_word"]).lower()


def _placeholders(answer: str, given: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= int(given["num_placeholders"])


def _postscript(answer: str, given: Arguments) -> bool:
    marker = given["postscript_marker"].strip()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return re.search(known.get(marker, marker.lower()), answer.lower()) is not None


def _bullets(answer: str, given: Arguments) -> bool:
    found = re.findall(r"^\s*\*[^*].*$", answer, re.MULTILINE) + re.findall(r"^\s*-.*$", answer, re.MULTILINE)
    return len(found) == int(given["num_bullets"])


def _constrained(answer: str, given: Arguments) -> bool:
    return any(one in answer.strip() for one in ("My answer is yes.", "My answer is no.", "My answer is maybe."))


def _highlights(answer: str, given: Arguments) -> bool:
    """In one asterisk or in two; two are counted in both forms, as IFEval does."""
    single = [part for part in re.findall(r"\*[^\n*]*\*", answer) if part.strip("*").strip()]
    double = [part for part in re.findall(r"\*\*[^\n*]*\*\*", answer) if part[2:-2].strip()]
    return len(single) + len(double) >= int(given["num_highlights"])


def _sections(answer: str, given: Arguments) -> bool:
    found = re.findall(rf"\s?{given['section_spliter'].strip()}\s?\d+\s?", answer)
    return len(found) >= int(given["num_sections"])


def _json(answer: str, given: Arguments) -> bool:
    text = re.sub(r"^```(?:json|Json|JSON)?|```$", "", answer.strip()).strip()
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _title(answer: str, given: Arguments) -> bool:
    return any(found.lstrip("<").rstrip(">").strip() for found in re.findall(r"<<[^\n]+>>", answer))


def _two_responses(answer: str, given: Arguments) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    said = [part for part in parts if part]
    return all(parts[1:-1]) and len(said) == 2 and said[0] != said[1]


def _repeated_prompt(answer: str, given: Arguments) -> bool:
    return answer.strip().lower().startswith(str(given["prompt_to_repeat"]).strip().lower())


def _end(answer: str, given: Arguments) -> bool:
    return answer.strip().strip('"').lower().endswith(str(given["end_phrase"]).strip().lower())


def _capital_words(answer: str, given: Arguments) -> bool:
    """A word with hyphens is one; an apostrophe parts what Penn Treebank's tokens part."""
    parted = re.sub(r"(n't\b|'(?:s|m|d|ll|re|ve)\b)", r" \1", answer, flags=re.IGNORECASE)
    words = re.findall(r"[^\s,;:!?()\[\]{}\"\u201c\u201d<>&*]+", parted)
    return _compared(sum(word.isupper() for word in words), given["capital_relation"], given["capital_frequency"])


def _all_capitals(answer: str, given: Arguments) -> bool:
    return answer.isupper() and _is_in(answer, "en")


def _all_small(answer: str, given: Arguments) -> bool:
    return answer.islower() and _is_in(answer, "en")


def _no_comma(answer: str, given: Arguments) -> bool:
    return "," not in answer


def _quotation(answer: str, given: Arguments) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


CHECKS: dict[str, Check] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _paragraph_first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeated_prompt,
    "startend:end_checker": _end,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _all_capitals,
    "change_case:english_lowercase": _all_small,
    "punctuation:no_comma": _no_comma,
}
NEEDED: dict[str, tuple[str, ...]] = {
    "keywords:existence": ("keywords",),
    "keywords:frequency": ("keyword", "relation", "frequency"),
    "keywords:forbidden_words": ("forbidden_words",),
    "keywords:letter_frequency": ("letter", "let_relation", "let_frequency"),
    "language:response_language": ("language",),
    "length_constraints:number_sentences": ("relation", "num_sentences"),
    "length_constraints:number_paragraphs": ("num_paragraphs",),
    "length_constraints:number_words": ("relation", "num_words"),
    "length_constraints:nth_paragraph_first_word": ("num_paragraphs", "nth_paragraph", "first_word"),
    "detectable_content:number_placeholders": ("num_placeholders",),
    "detectable_content:postscript": ("postscript_marker",),
    "detectable_format:number_bullet_lists": ("num_bullets",),
    "detectable_format:number_highlighted_sections": ("num_highlights",),
    "detectable_format:multiple_sections": ("section_spliter", "num_sections"),
    "combination:repeat_prompt": ("prompt_to_repeat",),
    "startend:end_checker": ("end_phrase",),
    "change_case:capital_word_frequency": ("capital_relation", "capital_frequency"),
}
