"""A person's verdicts from the chat page, kept as a folder that `camelid eval report` reads.

Every vote is a question of its own, since the same words may be answered anew: a line in `questions.jsonl`, one in
each model's `answers/MODEL.jsonl`, and the judgment in `judgments/pairwise/human.jsonl`.
"""

import re
import uuid
from pathlib import Path

from camelid.files.read import Record
from camelid.files.write import AppendLog
from camelid.message import Message
from finetune.serve.bodies import VoteBody

# MT-bench's verdicts (FastChat, llm_judge/common.py): A is the answer shown first.
VERDICTS = {"first": ("[[A]]", (1.0, 0.0)), "second": ("[[B]]", (0.0, 1.0)), "tie": ("[[C]]", (0.5, 0.5))}


class Votes:
    """The folder; it is made with the first vote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, vote: VoteBody) -> str:
        """Keep a vote; return the id of its question."""
        question = f"vote-{uuid.uuid4().hex[:12]}"
        messages = [turn.message() for turn in vote.messages]
        asked = {"question_id": question, "category": "chat", "turns": [chat_as_text(messages)]}
        self._append("questions.jsonl", {**asked, "messages": [message.to_json() for message in messages]})
        for model, text in zip(vote.models, vote.answers, strict=True):
            answer = {"question_id": question, "model_id": model, "choices": [{"index": 0, "turns": [text]}]}
            file = re.sub(r"[^\w.@-]+", "_", model)
            self._append(f"answers/{file}.jsonl", {**answer, "cut": [False], "failure": None})
        verdict, scores = VERDICTS[vote.winner]
        judgment: Record = {
            "mode": "pairwise",
            "question": question,
            "turn": 1,
            "models": vote.models,
            "judge": "human",
            "scores": list(scores),
            "text": verdict,
            "failure": None,
            "repeat": 0,
            "logprobs": {},
            "tokens": [0, 0],
            "answered_by": "",
            "baseline": None,
        }
        self._append("judgments/pairwise/human.jsonl", judgment)
        return question

    def _append(self, name: str, record: Record) -> None:
        with AppendLog(self.folder / name) as log:
            log.append(record)


def chat_as_text(messages: list[Message]) -> str:
    """A chat up to the last question as one text; a single question as it is."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role.upper()}: {message.content}" for message in messages)
