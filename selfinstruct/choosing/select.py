"""The best answer to each prompt, of all rounds of sampling, to be trained; or the best and the worst as preferences.

Of each prompt only the best and the worst answers so far are held, so files may be larger than memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from camelid.errors import UserError, suggest_name
from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from conversations.candidates import Candidates, SampledAnswer, read_candidates
from conversations.preference import Preference, prompt_key
from conversations.unique_ids import unique_id
from selfinstruct.choosing.rewards import Rule, Whitening

CUT_OFF, EMPTY = "answer cut off by max_tokens", "empty answer"
NOTHING_WHOLE, ALONE = "no whole answer with a score", "one answer alone"
ALIKE, EQUAL = "answers that are worth the same", "equal answers"
PLAIN_AS_GOOD = "plain answer that is as safe"
ONE_SIDED = "answers with or without a preprompt alone"

ScoredAnswer = tuple[float, SampledAnswer]  # its reward first


@dataclass(slots=True)
class Pool:
    """What is known of one prompt.

    Attributes:
        id, prompt, meta: of its first record.
        answers: how many whole ones there are.
        best, worst: with their rewards; of equal ones the first.
        best_plain: of the answers without a context the best, where they are told apart; `best` is then of the others.
    """

    id: str
    prompt: tuple[Message, ...]
    meta: dict[str, Any]
    answers: int = 0
    best: ScoredAnswer | None = None
    worst: ScoredAnswer | None = None
    best_plain: ScoredAnswer | None = None


@dataclass
class AnswerSelection:
    """One choice over some files; `read` first, then draw from `conversations` or `preferences`.

    Attributes:
        rule: by which answers are chosen.
        answers: what became of every answer that was read.
        prompts: what became of every prompt, complete when the choice has been drawn.
        whitening: of all rewards.
    """

    rule: Rule
    answers: Ledger = field(default_factory=lambda: Ledger("answers"))
    prompts: Ledger = field(default_factory=lambda: Ledger("prompts"))
    whitening: Whitening = field(default_factory=Whitening)

    def __post_init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._scores: set[str] = set()
        self._ids: set[str] = set()

    def read(self, paths: Iterable[str | Path]) -> None:
        """Read all rounds, the newest first: of answers that are worth the same, the one read first is chosen.

        Raises:
            UserError: a file is no file of candidates, or no answer has a score that the rule needs.
        """
        paths = list(paths)
        for path in paths:
            for candidates in read_candidates(path):
                key = prompt_key(candidates.prompt)
                if key not in self._pools:  # ids of other rounds may be of other prompts
                    name = unique_id(candidates.id, self._ids)
                    self._pools[key] = Pool(name, candidates.prompt, candidates.meta)
                for answer in candidates.answers:
                    self._add(self._pools[key], answer, candidates)
        missing = next((name for name in self.rule.needs if name not in self._scores), None)
        if missing and self._pools:
            known = ", ".join(sorted(self._scores)) or "no scores at all"
            raise UserError(
                f"{paths[0]}: no answer has the score {missing!r} (found {known}); "
                f"`camelid finetune score` adds it{suggest_name(missing, self._scores)}"
            )

    def _add(self, pool: Pool, answer: SampledAnswer, candidates: Candidates) -> None:
        self._scores.update(answer.scores)
        unscored = next((name for name in self.rule.needs if name not in answer.scores), None)
        if answer.truncated or not answer.content.strip() or unscored:
            self.answers.drop(CUT_OFF if answer.truncated else f"no score {unscored!r}" if unscored else EMPTY)
            return
        reward = self.rule.reward(answer.scores, candidates.meta.get("is_safety") is True)
        self.answers.keep()
        self.whitening.add(reward)
        pool.answers += 1
        if self.rule.told_apart and not answer.context:
            if pool.best_plain is None or reward > pool.best_plain[0]:
                pool.best_plain = reward, answer
            return
        if pool.best is None or reward > pool.best[0]:
            pool.best = reward, answer
        if pool.worst is None or reward < pool.worst[0]:
            pool.worst = reward, answer

    def conversations(self) -> Iterator[Conversation]:
        """The prompts with their best answers, which alone are trained, in the order in which they were read."""
        for pool in self._pools.values():
            best = self._best(pool)
            if isinstance(best, str):
                self.prompts.drop(best)
                continue
            self.prompts.keep()
            earlier = [replace(one, weight=0.0) if one.role == "assistant" else one for one in pool.prompt]
            meta = {**pool.meta, **self._facts(best, pool)}
            yield Conversation(pool.id, (*earlier, Message("assistant", best[1].content)), meta)

    def preferences(self) -> Iterator[Preference]:
        """The best and the worst answer to each prompt; of preprompts, theirs and the best plain one.

        `meta.margin` is the difference of their whitened rewards.
        """
        for pool in self._pools.values():
            best = self._best(pool)
            other = best if isinstance(best, str) else self._worse(pool, best)
            if isinstance(best, str) or isinstance(other, str):
                self.prompts.drop(str(other))
                continue
            self.prompts.keep()
            margin = self.whitening.whiten(best[0]) - self.whitening.whiten(other[0])
            meta = {**pool.meta, "margin": margin, "answers": pool.answers}
            texts = best[1].text(), other[1].text()
            yield Preference(pool.id, pool.prompt, *texts, source=f"ai/{self.rule.name}", meta=meta)

    def _best(self, pool: Pool) -> ScoredAnswer | str:
        """The answer that is chosen, or why none is."""
        if self.rule.told_apart:
            if pool.best is None or pool.best_plain is None:
                return ONE_SIDED if pool.answers else NOTHING_WHOLE
            return pool.best if pool.best[0] > pool.best_plain[0] else PLAIN_AS_GOOD
        return pool.best or NOTHING_WHOLE

    def _worse(self, pool: Pool, best: ScoredAnswer) -> ScoredAnswer | str:
        """The answer that the best one is preferred to, or why there is none."""
        other = pool.best_plain if self.rule.told_apart else pool.worst
        if other is None or pool.answers == 1:
            return ALONE
        if other[0] == best[0]:
            return ALIKE
        return EQUAL if other[1].content == best[1].content else other

    def _facts(self, best: ScoredAnswer, pool: Pool) -> dict[str, Any]:
        reward, answer = best
        return {
            "model": answer.model,
            "temperature": answer.temperature,
            "scores": answer.scores,
            "reward": self.whitening.whiten(reward),
            "answers": pool.answers,
        }
