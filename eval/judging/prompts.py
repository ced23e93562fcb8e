"""The prompts a judge reads: our wording around the published output forms.

The forms: `Rating: [[5]]` and `[[A]]`, `[[B]]`, `[[C]]` are MT-bench's (github.com/lm-sys/FastChat,
fastchat/llm_judge/data/judge_prompts.jsonl); two grades on the first line are Vicuna's (FastChat,
fastchat/eval/table/prompt.jsonl); `m` or `M`, and the ranking as a list, are AlpacaEval's
(github.com/tatsu-lab/alpaca_eval, weighted_alpaca_eval_gpt4_turbo and alpaca_eval_gpt4).
"""

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from camelid.message import Message
from eval.ask.questions import Question
from eval.judging.modes.mode import Asking

REFERENCE_RULE = (
    "\n\nA reference answer is given. It is right; compare the {what} with it, and name every mistake. "
    "Other wording is fine where it says the same."
)
# What `eval.judging.modes` reads as a verdict in double brackets: `[[10]]`, `[[A>B]]`, full-width or not.
_VERDICT = re.compile(
    r"([\[\u3010\uff3b])([\[\u3010\uff3b])"
    r"(\s*(?:\d+(?:\.\d+)?(?:\s*/\s*10)?|tie|draw|(?:assistant\s+)?[abc\uff21-\uff23](?:\s+is\s+better)?"
    r"|[ab]\s*[<>=~\u226a\u226b]{1,2}\s*[ab])\s*)"
    r"([\]\u3011\uff3d])([\]\u3011\uff3d])",
    re.IGNORECASE,
)
_MARKER = re.compile(r"\[(?=\s*(?:the\s+(?:start|end)\s+of\b|question\s*\]))", re.IGNORECASE)


def judge_prompt(asking: Asking, question: Question, turns: Sequence[Sequence[str]], turn: int) -> tuple[Message, ...]:
    """Ask for a verdict on one turn's answer, or on two answers; a later turn brings the conversation before it.

    Args:
        asking: the mode's.
        question: the question, with or without references.
        turns: the answers of each model, in the order of showing.
        turn: which one to judge, from 0.
    """
    build = _single_prompt if len(asking.names) == 1 else _pair_prompt
    return build(asking, question, turns, turn)


def prompt_version(asking: Asking) -> str:
    """Which instructions a judge had: the file's name and a digest of its text, which changes with every word."""
    return f"{asking.prompt.removesuffix('.txt')}-{hashlib.sha256(_rules(asking.prompt).encode()).hexdigest()[:8]}"


def judge_rules(asking: Asking) -> str:
    """The instructions alone."""
    return _rules(asking.prompt)


def quote_answer(answer: str) -> str:
    """An answer as data: it can neither leave its section nor hand the judge a verdict that would be read as its own.

    A marker's bracket becomes round, and the double brackets around what could be a verdict are parted.
    """
    return _VERDICT.sub(r"\1 \2\3\4 \5", _MARKER.sub("(", answer))


def _single_prompt(
    asking: Asking, question: Question, turns: Sequence[Sequence[str]], turn: int
) -> tuple[Message, ...]:
    [name], [answers] = asking.names, turns
    sections = [
        f"[The Start of the Conversation So Far]\nUser: {asked}\n\n{name}: {quote_answer(said)}\n"
        "[The End of the Conversation So Far]"
        for asked, said in zip(question.turns[:turn], answers[:turn], strict=True)
    ]
    sections += _question(question, turn)
    sections.append(_section(f"{name}'s Answer", answers[turn]))
    return _messages(asking.prompt, f"{name.lower()}'s answer", question, sections)


def _pair_prompt(asking: Asking, question: Question, turns: Sequence[Sequence[str]], turn: int) -> tuple[Message, ...]:
    names, sections = asking.names, list[str]()
    if turn:
        for name, said in zip(names, turns, strict=True):
            talk = "\n\n".join(
                f"User: {question.turns[index]}\n\n{name}: {quote_answer(said[index])}" for index in range(turn)
            )
            marker = f"the Conversation with {name} So Far]"
            sections.append(f"[The Start of {marker}\n{talk}\n[The End of {marker}")
    sections += _question(question, turn)
    sections += [_section(f"{name}'s Answer", said[turn]) for name, said in zip(names, turns, strict=True)]
    return _messages(asking.prompt, "answers", question, sections)


def _question(question: Question, turn: int) -> list[str]:
    sections = [_section("the System Message", question.system)] if question.system else []
    sections.append(f"[Question]\n{question.turns[turn]}")
    if question.references:
        sections.append(f"[The Start of Reference Answer]\n{question.references[turn]}\n[The End of Reference Answer]")
    return sections


def _section(name: str, answer: str) -> str:
    return f"[The Start of {name}]\n{quote_answer(answer)}\n[The End of {name}]"


def _messages(file: str, what: str, question: Question, sections: Sequence[str]) -> tuple[Message, ...]:
    rule = REFERENCE_RULE.format(what=what) if question.references else ""
    return Message("system", _rules(file).replace("{reference_rule}", rule)), Message("user", "\n\n".join(sections))


@cache
def _rules(file: str) -> str:
    return files("eval").joinpath(f"data/{file}").read_text(encoding="utf-8").strip()
