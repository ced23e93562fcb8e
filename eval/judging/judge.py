"""Judging: which requests a run makes, and the judgments that come of them. Every raw reply is kept."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import combinations

from camelid.errors import UserError, suggest_name
from camelid.models.llm import Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.models.spend import CostEstimate
from camelid.progress import Progress
from eval.ask.answer import Answer, sample_evenly
from eval.ask.questions import Question
from eval.judging import canary, prompts
from eval.judging.judgments import Judgment, parse_verdict, subject_hash
from eval.results import Mode

# Temperature and token limit of the judge: FastChat, llm_judge/common.py (0, 2048) and
# fastchat/eval/eval_gpt_review.py (0.2, 1024); AlpacaEval, alpaca_eval_gpt4/configs.yaml (0, 100) and
# weighted_alpaca_eval_gpt4_turbo/configs.yaml (1, 1).
SAMPLING: dict[Mode, tuple[float, int]] = {
    "single": (0.0, 2048),
    "pairwise": (0.0, 2048),
    "vicuna": (0.2, 1024),
    "alpaca": (1.0, 1),
}
RANKING_SAMPLING = (0.0, 100)
LOGPROBS = {"logprobs": True, "top_logprobs": 5}  # weighted_alpaca_eval_gpt4_turbo/configs.yaml


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One request to make.

    Attributes:
        judgment: what will be known of it in advance: everything but the reply.
        request: the prompt.
    """

    judgment: Judgment
    request: Request


def plan_requests(
    mode: Mode,
    judge: str,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    baseline: str | None = None,
    audit: int = 0,
    ranking: bool = False,
    seed: int = 0,
) -> list[JudgeRequest]:
    """All requests of a run. An answer that is missing is never judged; the report counts it.

    `vicuna` and `pairwise` ask for every pair in both orders; `alpaca` asks once, in an order drawn from the seed and
    the question, as AlpacaEval does.

    Args:
        mode: how to judge.
        judge: the judge's name.
        questions: the set the answers belong to.
        answers: of any number of models.
        baseline: compare all others with this model; `vicuna` and `alpaca` need one, `pairwise` otherwise takes all
            pairs, and `single` none.
        audit: so many questions are judged once more, and so many with the constant-answer canary.
        ranking: `alpaca` as AlpacaEval 1 asks it.
        seed: of the order in `alpaca`.

    Raises:
        UserError: an answer to an unknown question, a second answer to one, or no such baseline.
    """
    said = _by_model(questions, answers)
    pairs = _pairs(mode, list(said), baseline)
    chosen = sample_evenly(questions, audit)
    decoys = {answer.question: answer for answer in canary.canary_answers(chosen)}
    against = () if mode == "single" else (baseline or next(iter(said), ""),)
    tasks: list[JudgeRequest] = []
    for models in pairs:
        for question in questions:
            found = [said[model].get(question.id) for model in models]
            turns = [answer.turns for answer in found if answer is not None]
            if len(turns) == len(models):
                tasks += _tasks(mode, judge, question, models, turns, baseline, ranking, seed)
    again = {question.id for question in chosen}
    first = pairs[0] if pairs else ()
    tasks += [
        JudgeRequest(replace(task.judgment, repeat=1), replace(task.request, sample=1))
        for task in tasks
        if task.judgment.question in again and set(task.judgment.models) == set(first) and task.judgment.turn == 1
    ]
    for question in chosen:
        found = [decoys[question.id], *(said[model].get(question.id) for model in against)]
        turns = [answer.turns for answer in found if answer is not None]
        if len(turns) == len(found):
            models = (canary.LABEL, *against)
            tasks += _tasks(mode, judge, question, models, turns, baseline, ranking, seed)
    return tasks


async def judge_all(model: ModelRun, tasks: Sequence[JudgeRequest], quiet: bool = False) -> list[Judgment]:
    """Make the requests; return the judgments in their order.

    After a failure that no other request can escape (a wrong key, a budget that is used up) the model sends nothing
    more, but what the journal holds still comes out.

    Args:
        model: the judge.
        tasks: from `plan_requests`.
        quiet: no progress display.
    """
    judgments: list[Judgment] = []
    estimate = CostEstimate(model.price, len(tasks))
    without = 0
    with Progress("judge", len(tasks), quiet) as bar:
        async with aclosing(complete_in_order(model, (task.request for task in tasks), model.concurrency)) as results:
            async for _, result in results:
                judgments.append(_judged(tasks[len(judgments)].judgment, result))
                without += judgments[-1].scores is None
                estimate.add(result, done=isinstance(result, Reply))
                bar.update(len(judgments), f"{without} without a verdict | {model.facts()} | {estimate.facts()}")
    return judgments


def _judged(judgment: Judgment, result: Reply | Failure) -> Judgment:
    if isinstance(result, Failure):
        return replace(judgment, failure=f"{result.kind}: {result.detail}")
    tokens = (result.usage.prompt_tokens, result.usage.completion_tokens)
    first = result.top_logprobs[0] if result.top_logprobs else {}
    logprobs = {token: value for token, value in first.items() if token in ("m", "M")}
    scores = parse_verdict(judgment.mode, result.text, logprobs)
    return replace(
        judgment, text=result.text, scores=scores, tokens=tokens, answered_by=result.model, logprobs=logprobs
    )


def _by_model(questions: Sequence[Question], answers: Sequence[Answer]) -> dict[str, dict[str, Answer]]:
    known = {question.id for question in questions}
    said: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        if answer.question not in known:
            raise UserError(f"{answer.model}: answers question {answer.question!r}, which is not in the question file")
        if answer.question in said.setdefault(answer.model, {}):
            raise UserError(f"{answer.model}: question {answer.question!r} is answered twice; keep one of the answers")
        if answer.model == canary.LABEL:
            raise UserError(f"the label {canary.LABEL!r} is the audit's; give the model another --label")
        said[answer.model][answer.question] = answer
    return said


def _pairs(mode: Mode, labels: Sequence[str], baseline: str | None) -> list[tuple[str, ...]]:
    if mode == "single":
        if baseline is not None:
            raise UserError("--baseline: mode 'single' grades each answer alone; leave it out")
        return [(label,) for label in labels]
    if baseline is not None and baseline not in labels:
        raise UserError(f"--baseline {baseline}: no answers of that label{suggest_name(baseline, labels)}")
    if baseline is None and mode != "pairwise":
        raise UserError(f"--baseline: mode {mode!r} compares all models with one; name it (of {', '.join(labels)})")
    pairs = [(label, baseline) for label in labels if label != baseline] if baseline else list(combinations(labels, 2))
    if not pairs:
        raise UserError(f"mode {mode!r} compares models, but there are answers of one only ({', '.join(labels)})")
    return [tuple(pair) for pair in pairs]


def _tasks(
    mode: Mode,
    judge: str,
    question: Question,
    models: tuple[str, ...],
    turns: Sequence[Sequence[str]],
    baseline: str | None,
    ranking: bool,
    seed: int,
) -> Iterator[JudgeRequest]:
    """The requests for one question: each turn that all models answered, in the mode's orders."""
    temperature, max_tokens = RANKING_SAMPLING if ranking else SAMPLING[mode]
    extra = LOGPROBS if mode == "alpaca" and not ranking else {}
    for turn in range(min(len(said) for said in turns)):
        for flipped in _orders(mode, question.id, turn, models, seed):
            order, shown = (models[::-1], turns[::-1]) if flipped else (models, turns)
            messages = (
                prompts.single_prompt(question, shown[0], turn)
                if mode == "single"
                else prompts.pair_prompt(mode, question, shown, turn, ranking)
            )
            request = Request(messages, temperature=temperature, max_tokens=max_tokens, extra=dict(extra))
            of = subject_hash(question, shown, turn)
            judgment = Judgment(mode, question.id, turn + 1, order, judge, None, "", baseline=baseline, subject=of)
            yield JudgeRequest(judgment, request)


def _orders(mode: Mode, question: str, turn: int, models: tuple[str, ...], seed: int) -> tuple[bool, ...]:
    if mode == "single":
        return (False,)
    if mode != "alpaca":
        return (False, True)
    digest = hashlib.sha256(repr((seed, question, turn, models)).encode()).digest()
    return (digest[0] % 2 == 1,)
