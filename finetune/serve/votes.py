"""A person's verdicts from the chat page, kept as a folder that `camelid eval report` reads.

Every pair is a question of its own, since the same words may be answered anew, and gets one vote: a line in
`questions.jsonl`, one in each model's `answers/MODEL.jsonl`, and the judgment in `judgments/pairwise/human.jsonl`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from camelid.files.read import Record
from camelid.files.write import AppendLog
from camelid.message import Message
from finetune.serve.bodies import VoteBody
from finetune.serve.errors import ApiError
from finetune.serve.pairs import Pair

# MT-bench's verdicts (FastChat, llm_judge/common.py): A is the answer shown first.
VERDICTS = {"first": ("[[A]]", (1.0, 0.0)), "second": ("[[B]]", (0.0, 1.0)), "tie": ("[[C]]", (0.5, 0.5))}
JUDGMENTS = "judgments/pairwise/human.jsonl"
UNFIT = re.compile(r"[^\w.@-]+")  # for a file name; the same as in an evaluation's folder


RateVotes = Callable[[Path], Record]
"""From a folder of votes to its leaderboard."""


class Votes:
    """The folder; it is made with the first vote. One thread at a time uses this.

    Args:
        folder: of the votes.
        rate: makes its leaderboard.
    """

    def __init__(self, folder: Path, rate: RateVotes) -> None:
        self.folder, self._rate = folder, rate
        self._winners: dict[str, str] = {}
        self._board: tuple[int, Record] = -1, {}

    def leaderboard(self) -> Record:
        """The models' ratings, made anew when there are further votes."""
        path = self.folder / JUDGMENTS
        size = path.stat().st_size if path.exists() else 0
        if self._board[0] != size:
            self._board = size, self._rate(self.folder)
        return {**self._board[1], "folder": str(self.folder)}

    def add(self, pair: Pair, vote: VoteBody) -> str:
        """Keep a vote, unless it has been kept already; return the winner.

        Raises:
            ApiError: 409, the pair has another vote; 500, the disk does not take it.
        """
        kept = self._winners.get(pair.id)
        if kept is not None and kept != vote.winner:
            raise ApiError(409, f"this pair has its vote already ({kept}); ask again to vote again", "already_voted")
        if kept is None:
            try:
                self._write(pair, vote)
            except OSError as error:
                message = f"the vote was not kept: {error.filename or self.folder}: {error.strerror}; see --votes"
                raise ApiError(500, message, "vote_not_kept") from None
            self._winners[pair.id] = vote.winner
        return vote.winner

    def _write(self, pair: Pair, vote: VoteBody) -> None:
        for label, side, text, reason in zip(pair.labels, pair.sides, vote.answers, vote.finish_reasons, strict=True):
            answer: Record = {"question_id": pair.id, "model_id": label}
            answer |= {"choices": [{"index": 0, "turns": [text]}], "cut": [reason == "length"], "failure": None}
            answer |= {"finish_reasons": [reason], "asked_with": side.model_dump(exclude_none=True)}
            self._append(f"answers/{UNFIT.sub('_', label)}.jsonl", answer)
        asked = {"question_id": pair.id, "category": "chat", "turns": [chat_as_text(pair.messages)]}
        self._append("questions.jsonl", {**asked, "messages": [message.to_json() for message in pair.messages]})
        verdict, scores = VERDICTS[vote.winner]
        judgment: Record = {
            "mode": "pairwise",
            "question": pair.id,
            "turn": 1,
            "models": pair.labels,
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
        self._append(JUDGMENTS, judgment)

    def _append(self, name: str, record: Record) -> None:
        with AppendLog(self.folder / name) as log:
            log.append(record)


def chat_as_text(messages: Sequence[Message]) -> str:
    """A chat up to the last question as one text; a single question as it is."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role.upper()}: {message.content}" for message in messages)
