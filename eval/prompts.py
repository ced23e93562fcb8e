"""The prompts a judge reads: our wording around MT-bench's section markers."""

from importlib.resources import files

from conversations.message import Message
from eval.questions import Question

REFERENCE_RULE = (
    "\n\nA reference answer is given. It is right; compare the assistant's answer with it, and name every mistake. "
    "Other wording is fine where it says the same."
)


def single(question: Question, turns: tuple[str, ...], turn: int) -> tuple[Message, ...]:
    """Ask for a grade of one turn's answer.

    The sections are MT-bench's (github.com/lm-sys/FastChat, fastchat/llm_judge/data/judge_prompts.jsonl); a later
    turn brings the conversation before it.

    Args:
        question: the question, with or without references.
        turns: the model's answers.
        turn: which one to grade, from 0.
    """
    reference = question.references[turn] if question.references else None
    rules = files("eval").joinpath("data/judge_single.txt").read_text(encoding="utf-8").strip()
    sections = [
        f"[The Start of the Conversation So Far]\nUser: {question.turns[index]}\n\nAssistant: {_data(turns[index])}\n"
        "[The End of the Conversation So Far]"
        for index in range(turn)
    ]
    sections.append(f"[Question]\n{question.turns[turn]}")
    if reference is not None:
        sections.append(f"[The Start of Reference Answer]\n{reference}\n[The End of Reference Answer]")
    sections.append(f"[The Start of Assistant's Answer]\n{_data(turns[turn])}\n[The End of Assistant's Answer]")
    return (
        Message("system", rules.format(reference_rule="" if reference is None else REFERENCE_RULE)),
        Message("user", "\n\n".join(sections)),
    )


def _data(answer: str) -> str:
    """An answer cannot close its own section: the markers' brackets become round ones."""
    return answer.replace("[The Start of", "(The Start of").replace("[The End of", "(The End of")
