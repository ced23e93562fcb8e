"""Judging: which requests a run makes, and the judgments that come of them. Every raw reply is kept."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import combinations

from camelid.errors import UserError, suggest_name
from camelid.models.failure_streak import LONGEST_PATIENCE, PATIENCE
from camelid.models.llm import Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.models.spend import CostEstimate
from camelid.progress import Progress
from eval.ask.answer import Answer, sample_evenly
from eval.ask.questions import Question
from eval.judging import canary, prompts
from eval.judging.judgment import Judgment, subject_hash
from eval.judging.modes.mode import Mode, read_reply
from eval.judging.modes.table import MODES
from eval.judging.task_limits import answer_request


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
    seed: int = 0,
) -> list[JudgeRequest]:
    """All requests of a run. An answer that is missing is never judged; the report counts it.

    A pair is asked about in both orders, or once in an order drawn from the seed and the question, as the mode says.

    Args:
        mode: how to judge.
        judge: the judge's name.
        questions: the set the answers belong to.
        answers: of any number of models.
        baseline: compare all others with this model; a mode that needs none takes all pairs without, and one that
            grades takes none.
        audit: so many questions are judged once more, and so many with the constant-answer canary.
        seed: of the orders, where they are drawn.

    Raises:
        UserError: an answer to an unknown question, a second answer to one, or no such baseline.
    """
    said = _by_model(questions, answers)
    pairs = _pairs(mode, list(said), baseline)
    chosen = sample_evenly(questions, audit)
    decoys = {answer.question: answer for answer in canary.canary_answers(mode, chosen)}
    against = (baseline or next(iter(said), ""),) if mode.paired else ()
    tasks: list[JudgeRequest] = []
    for models in pairs:
        for question in questions:
            found = [said[model].get(question.id) for model in models]
            turns = [answer.turns for answer in found if answer is not None]
            if len(turns) == len(models):
                tasks += _tasks(mode, judge, question, models, turns, baseline, seed)
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
            tasks += _tasks(mode, judge, question, models, turns, baseline, seed)
    return tasks


async def judge_all(model: ModelRun, tasks: Sequence[JudgeRequest], quiet: bool = False) -> list[Judgment]:
    """Make the requests; return the judgments in their order.

    After a failure that no other request can escape (a wrong key, a budget that is used up), or after `PATIENCE` new
    replies in a row without a verdict, the model sends nothing more, but what the journal holds still comes out.

    Args:
        model: the judge.
        tasks: from `plan_requests`.
        quiet: no progress display.
    """
    judgments: list[Judgment] = []
    estimate = CostEstimate(model.price, len(tasks))
    without = useless = 0
    with Progress("judge", len(tasks), quiet) as bar:
        async with aclosing(complete_in_order(model, (task.request for task in tasks), model.concurrency)) as results:
            async for _, result in results:
                task = tasks[len(judgments)]
                judgments.append(_judged(task.judgment, model.options.apply(task.request), result))
                without += judgments[-1].scores is None
                if isinstance(result, Reply) and len(judgments) > model.replayed:
                    useless = useless + 1 if judgments[-1].scores is None else 0
                    if useless >= min(LONGEST_PATIENCE, max(PATIENCE, len(judgments) - without)):
                        model.give_up(f"{useless} replies in a row held no verdict, such as {result.text[:200]!r}")
                estimate.add(result, done=isinstance(result, Reply))
                bar.update(len(judgments), f"{without} without a verdict | {model.facts()} | {estimate.facts()}")
    return judgments


def _judged(judgment: Judgment, request: Request, result: Reply | Failure) -> Judgment:
    mode = MODES[judgment.mode]
    parameters = {"temperature": request.temperature, "max_tokens": request.max_tokens, **request.extra}
    judgment = replace(judgment, parameters={"language": request.extra["language"]} if mode.executed else parameters)
    if isinstance(result, Failure):
        return replace(judgment, failure=f"{result.kind}: {result.detail}")
    tokens = (0, 0) if mode.executed else (result.usage.prompt_tokens, result.usage.completion_tokens)
    first = result.top_logprobs[0] if result.top_logprobs else {}
    logprobs = {token: value for token, value in first.items() if token in mode.tokens}
    return replace(
        judgment,
        text=result.text,
        scores=read_reply(mode, result.text, logprobs, result.finish_reason),
        tokens=tokens,
        answered_by=result.model,
        logprobs=logprobs,
        finish_reason=result.finish_reason,
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
    if not mode.paired:
        if baseline is not None:
            raise UserError(f"--baseline: mode {mode.name!r} grades each answer alone; leave it out")
        return [(label,) for label in labels]
    if baseline is not None and baseline not in labels:
        raise UserError(f"--baseline {baseline}: no answers of that label{suggest_name(baseline, labels)}")
    if baseline is None and mode.needs_baseline:
        raise UserError(
            f"--baseline: mode {mode.name!r} compares all models with one; name it (of {', '.join(labels)})"
        )
    pairs = [(label, baseline) for label in labels if label != baseline] if baseline else list(combinations(labels, 2))
    if not pairs:
        raise UserError(f"mode {mode.name!r} compares models, but there are answers of one only ({', '.join(labels)})")
    return [tuple(pair) for pair in pairs]


def _tasks(
    mode: Mode,
    judge: str,
    question: Question,
    models: tuple[str, ...],
    turns: Sequence[Sequence[str]],
    baseline: str | None,
    seed: int,
) -> Iterator[JudgeRequest]:
    """The requests for one question: each turn that all models answered, in the mode's orders."""
    asking = mode.asking
    for turn in range(min(len(said) for said in turns)):
        for flipped in _orders(mode, question.id, turn, models, seed):
            order, shown = (models[::-1], turns[::-1]) if flipped else (models, turns)
            if mode.executed and question.task:
                request = answer_request(question.task, shown[0][turn])
            else:
                messages = prompts.judge_prompt(asking, question, shown, turn)
                request = Request(
                    messages, temperature=asking.temperature, max_tokens=asking.max_tokens, extra=dict(asking.extra)
                )
            judgment = Judgment(
                mode=mode.name,
                question=question.id,
                turn=turn + 1,
                models=order,
                judge=judge,
                scores=None,
                text="",
                baseline=baseline,
                subject=subject_hash(question, shown, turn),
                prompt=tuple(message.content for message in request.messages),
                prompt_version=prompts.prompt_version(asking),
            )
            yield JudgeRequest(judgment, request)


def _orders(mode: Mode, question: str, turn: int, models: tuple[str, ...], seed: int) -> tuple[bool, ...]:
    if mode.orders == "drawn":
        digest = hashlib.sha256(repr((seed, question, turn, models)).encode()).digest()
        return (digest[0] % 2 == 1,)
    return (False, True) if mode.orders == "both" else (False,)
