"""Which documents stay, of whatever source: length, language, classifier, perplexity, evaluation questions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.text.decontaminate import Decontaminator
from camelid.text.language import UNKNOWN, guess_language
from conversations.questions.read import read_question_texts
from corpus.perplexity import ALL, BUCKETS, Perplexity
from corpus.record import TextRecord
from corpus.references import ReferenceClassifier

CONTAMINATED = "contains an evaluation question"
# The evaluation sets that come along; whoever has others names them, too.
EVALUATIONS = (
    "eval/data/questions_single.jsonl",
    "eval/data/questions_two_turn.jsonl",
    "eval/data/demo_questions.jsonl",
)


@dataclass(frozen=True)
class KeepRules:
    """The rules; each counts what it drops under a reason of its own.

    Attributes:
        min_characters: texts that are shorter go.
        languages: codes of those that stay ("en"); empty for all.
        language_score: how sure of its language a text must be; CCNet's 0.5 (cc_net/split_by_lang.py).
        references: a classifier that `references train` wrote; None for no such rule.
        references_score: what it must give; RedPajama's 0.25, for LLaMA gives none.
        perplexity: an n-gram model; None puts all in one bucket.
        buckets: those that stay.
        decontaminate: files of evaluation questions; a text that has 12 words in a row of one goes.
    """

    min_characters: int = 0
    languages: tuple[str, ...] = ()
    language_score: float = 0.5
    references: str | None = None
    references_score: float = 0.25
    perplexity: Perplexity | None = None
    buckets: tuple[str, ...] = field(default=(*BUCKETS, ALL))
    decontaminate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for code in self.languages:
            if not (code.isalpha() and code.islower() and 2 <= len(code) <= 3):
                raise UserError(f"language {code!r} must be a code of two or three small letters, such as 'en'")
        if unknown := set(self.buckets) - {*BUCKETS, ALL}:
            raise UserError(f"buckets: {', '.join(sorted(unknown))} unknown; there are {', '.join((*BUCKETS, ALL))}")


def keep_records(rules: KeepRules, records: Iterable[TextRecord], documents: Ledger) -> Iterator[TextRecord]:
    """Yield what stays, with what was found out in `meta`; count all of it."""
    for record in records:
        outcome = _judge(rules, record)
        if isinstance(outcome, str):
            documents.drop(outcome, example=record.text)
        else:
            documents.keep()
            yield outcome


def _judge(rules: KeepRules, record: TextRecord) -> TextRecord | str:
    """The record, or why it goes. What is cheap is asked first."""
    if len(record.text) < rules.min_characters:
        return f"fewer than {rules.min_characters} characters"
    found: dict[str, object] = {}
    if "suffix" not in record.meta:  # source code is in no language of people
        language, score = guess_language(record.text[:2000].replace("\n", " "))
        language = language if score >= rules.language_score else UNKNOWN
        if rules.languages and language not in rules.languages:
            return f"language: {language}"
        found["language"] = language
    if rules.references is not None:
        score = _classifier(rules.references).score(record.text)
        if score < rules.references_score:
            return f"unlike references: below {rules.references_score:g}"
        found["reference"] = round(score, 4)
    if rules.perplexity is not None:
        perplexity = rules.perplexity.measure(record.text)
        bucket = rules.perplexity.bucket(perplexity)
        if bucket not in rules.buckets:
            return f"perplexity: {bucket}"
        found |= {"perplexity": round(perplexity, 1), "bucket": bucket}
    if rules.decontaminate and _questions(rules.decontaminate).match(record.text):
        return CONTAMINATED
    return replace(record, meta={**record.meta, **found})


@cache
def _classifier(path: str) -> ReferenceClassifier:
    return ReferenceClassifier.load(path)


@cache
def _questions(paths: Sequence[str]) -> Decontaminator:
    return Decontaminator(text for path in paths for text in read_question_texts(path))
