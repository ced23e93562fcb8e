"""Preferences from votes and judgments: of two answers to one question, the one that was found better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from camelid.files.ledger import Ledger
from camelid.message import Message, read_messages
from conversations.preference import AnswerText, Preference
from conversations.questions.read import question_name, read_posed
from conversations.questions.records import read_file_records
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging import canary
from eval.judging.formats.chatbot_arena import VOTERS
from eval.judging.judgment import Judgment
from eval.numbers.outcomes import pair_order, winner

PEOPLE = {"human": "human/vote", VOTERS: "human/arena"}  # the judges that are people: the chat page's, Chatbot Arena's
TIE, NO_VERDICT = "tie", "no verdict"
ONE_ORDER, DISAGREE = "judged in one order alone", "verdict that changes with the order"
NO_ANSWER, EMPTY, EQUAL = "no answer there", "empty answer", "equal answers"
DIFFER = "earlier answers that differ"


@dataclass
class VotedPreferences:
    """Turns judgments into preferences; complete when they have been drawn.

    A judge that is a model counts only where it saw both orders and named the same answer in both. People's votes
    count as they are: each is one look of one person.

    Args:
        questions: what was asked.
        prompts: by question, the messages that were shown where a question is the end of a chat; else its turns are.
        answers: of the contestants.
    """

    questions: Sequence[Question]
    prompts: Mapping[str, tuple[Message, ...]]
    answers: Sequence[Answer]
    ledger: Ledger = field(default_factory=lambda: Ledger("comparisons"))

    def __post_init__(self) -> None:
        self._asked = {question.id: question for question in self.questions}
        self._said = {(answer.model, answer.question): answer for answer in self.answers}

    def run(self, judgments: Sequence[Judgment]) -> Iterator[Preference]:
        """Yield the preferences in judgments of pairs, in the order in which the comparisons first appear.

        What the audit asked (repeats, the canary) is no comparison of answers. Duplicates must be gone.
        """
        groups: dict[tuple[object, ...], list[Judgment]] = {}
        for place, item in enumerate(judgments):
            if item.repeat == 0 and len(item.models) == 2 and canary.LABEL not in item.models:
                once = place if item.judge in PEOPLE else None
                key = (item.judge, item.question, item.turn, pair_order(item.models, None), once)
                groups.setdefault(key, []).append(item)
        for group in groups.values():
            made = self._make(group)
            if isinstance(made, str):
                self.ledger.drop(made)
            else:
                self.ledger.keep()
                yield made

    def _make(self, group: Sequence[Judgment]) -> Preference | str:
        """The preference of one comparison, or why there is none."""
        found = _better(group)
        if found in (TIE, NO_VERDICT, ONE_ORDER, DISAGREE):
            return found
        first = group[0]
        chosen, rejected = found, next(model for model in first.models if model != found)
        said = [self._said.get((model, first.question)) for model in (chosen, rejected)]
        if first.question not in self._asked or any(one is None or len(one.turns) < first.turn for one in said):
            return NO_ANSWER
        one, two = (_Turn(answer, first.turn) for answer in said if answer)
        if one.before != two.before:
            return DIFFER
        if one.text.content == two.text.content:
            return EQUAL
        if not (one.text.content.strip() and two.text.content.strip()):
            return EMPTY
        return Preference(
            f"{first.question}/{first.turn}/{first.judge}/{chosen}/{rejected}",
            self._prompt(self._asked[first.question], one),
            one.text,
            two.text,
            source=PEOPLE.get(first.judge, f"ai/{first.judge}"),
            meta={"question": first.question, "turn": first.turn, "mode": first.mode},
        )

    def _prompt(self, question: Question, turn: "_Turn") -> tuple[Message, ...]:
        messages = [Message("system", question.system)] if question.system else []
        shown = self.prompts.get(question.id)
        if shown is not None:
            return shown if shown[0].role == "system" else (*messages, *shown)
        for asked, said in zip(question.turns, (*turn.before, None), strict=False):
            messages.append(Message("user", asked))
            if said is not None:
                messages.append(Message("assistant", said))
        return tuple(messages)


class _Turn:
    """One turn of an answer.

    Attributes:
        number: which one, from 1.
        before: the answers to the turns before it.
        text: the answer.
    """

    def __init__(self, answer: Answer, number: int) -> None:
        self.number, self.before = number, answer.turns[: number - 1]
        cut = len(answer.cut) >= number and answer.cut[number - 1]
        self.text = AnswerText(answer.turns[number - 1], answer.model, bool(cut))


def _better(group: Sequence[Judgment]) -> str:
    """The model whose answer was found better, or why none was."""
    named = []
    for item in group:
        if item.scores is None:
            return NO_VERDICT
        won = winner(item.scores)
        named.append(TIE if won == 0 else item.models[won < 0])
    if group[0].judge not in PEOPLE and len({item.models for item in group}) < 2:
        return ONE_ORDER
    return named[0] if len(set(named)) == 1 else DISAGREE


def read_shown_messages(path: str | Path) -> dict[str, tuple[Message, ...]]:
    """By question, what was shown where it is the end of a chat: a vote's `messages`, a WildBench question's talk."""
    shown = {
        posed.id: posed.talk
        for _, posed in read_posed(path, "last")
        if posed.whole and posed.talk and posed.talk[-1].role == "user"
    }
    for place, record in read_file_records(path):
        if isinstance(record.get("messages"), list) and "turns" in record:
            shown[question_name(record, place)] = read_messages(record, "messages", place)
    return shown
