"""Code with tests that it passed, as Code Llama's self-instruct data (Roziere et al. 2023, section 2.5): questions,
duplicates out, unit tests, ten solutions, of which the first that passes is kept.

The prompts (`selfinstruct/data/code_*.txt`), topics and sizes are ours. A further solution is asked for only where none
has passed so far: the records are the same, and most of the ten are never paid for.
"""

import asyncio
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

from camelid.files.ledger import Ledger
from camelid.message import Message
from camelid.models.llm import Reply, Request
from selfinstruct.keep.code_checker import OUT_OF_TIME, CodeChecker, code_of, tested_function
from selfinstruct.keep.nearness import SAME
from selfinstruct.methods.method import Method, MethodInputs
from selfinstruct.methods.self_instruct import parse_instructions
from selfinstruct.placeholders import fill
from selfinstruct.run import ENOUGH, Candidate, GenerationRun
from selfinstruct.seeds import Task

if TYPE_CHECKING:
    from selfinstruct.keep.rouge import Similarity

SOLUTIONS = 10  # of a question, at most
QUESTIONS_A_REPLY = 10
KEPT_OF_ASKED = 0.25  # reckoned for the size of a round: the paper kept 14,000 of 52,000 questions
ROUND = (
    32  # requests for questions between two looks at what is kept; not the concurrency, so that runs can be replayed
)
QUESTION_TEMPERATURE, QUESTION_TOKENS = 1.0, 2048
TEST_TEMPERATURE, TEST_TOKENS = 0.0, 1024
SOLUTION_TEMPERATURE, SOLUTION_TOP_P, SOLUTION_TOKENS = 0.8, 0.95, 1024  # section 3.1, for pass@10
TOPICS = (
    "strings|lists|dictionaries|sets|tuples|sorting|searching|dates and times|prime numbers|number theory|fractions|"
    "geometry|matrices|recursion|dynamic programming|greedy choices|graphs|trees|stacks and queues|linked structures|"
    "intervals|permutations and combinations|bits|parsing text|formatting text|regular expressions|simulation|games|"
    "statistics|money and units|schedules|compression|ciphers|iterators and generators|counting words|validation"
).split("|")
LEVELS = ("for beginners", "easy", "of middling difficulty", "hard")
_FIRST_ITEM = re.compile(r"^\s*1\s*[.)]\s", re.MULTILINE)
NO_REPLY = "no reply"
NO_SOLUTION, ALL_OUT_OF_TIME = "no solution passes", "every solution is out of time"


@dataclass
class _CodeQuestion:
    """A question under way.

    Attributes:
        number: among all questions that were kept.
        text, similarity: from the question's filters.
        test: the tests; empty while there are none.
        solution: the first code that passed.
        model: who wrote it.
        fault: why there will be no record.
        verdicts: on the solutions that did not pass, each kind once.
    """

    number: int
    text: str
    similarity: "Similarity"
    test: str = ""
    solution: str = ""
    model: str = ""
    fault: str | None = None
    verdicts: set[str] = field(default_factory=set)


async def generate_code(run: GenerationRun, checker: CodeChecker, seed: int, language: str) -> None:
    """Make `run.count` records, each with its `test`.

    Args:
        run: takes the records.
        checker: runs the solutions.
        seed: of the topics and of sampling.
        language: of the questions.
    """
    run.instructions = Ledger("questions")
    number = kept = barren = 0
    while not run.ended:
        before = len(run.records)
        size = min(ROUND, math.ceil((run.count - before) / (KEPT_OF_ASKED * QUESTIONS_A_REPLY)))
        texts = await _questions(
            run, [_question_request(place, seed, language) for place in range(number, number + size)]
        )
        number += size
        questions = [_CodeQuestion(kept + place, *found) for place, found in enumerate(texts)]
        kept += len(questions)
        for question in questions:  # what is near an evaluation's question gets no test
            question.fault = run.selection.reason_to_drop_question(Task(question.text, "", ""))
        while questions and not run.ended:  # no more at a time than are wanted: each test and solution is paid for
            wanted = run.count - len(run.records)
            group, questions = questions[:wanted], questions[wanted:]
            await _write_tests(run, checker, [question for question in group if not question.fault], seed)
            for attempt in range(SOLUTIONS):
                unsolved = [question for question in group if not (question.fault or question.solution)]
                await _solve(run, checker, unsolved, attempt, seed)
            await run.keep_passing([_candidate(question) for question in group], SAME, together=True)
        if questions:
            run.tasks.drop(ENOUGH, len(questions))
        barren = 0 if len(run.records) > before else barren + size
        if barren >= run.barren and not run.ended:
            run.stopped = f"{barren} requests for questions gave no new record; the ledger says why"


async def _questions(run: GenerationRun, requests: Sequence[Request]) -> "list[tuple[str, Similarity]]":
    """New questions that pass their filters."""
    replies = await run.answers(requests)
    texts = []
    for number in sorted(replies):
        found = parse_questions(replies[number].text, replies[number].finish_reason == "length")
        if not found and run.instructions:
            run.instructions.drop("no question in the reply", example=replies[number].text)
        texts += found
    return run.keep_instructions(texts, SAME)


def parse_questions(completion: str, truncated: bool) -> list[str]:
    """The items of a numbered list, without what stands before it; of a truncated one without the last."""
    start = _FIRST_ITEM.search(completion)
    return parse_instructions(completion[start.start() :], truncated) if start else []


async def _write_tests(run: GenerationRun, checker: CodeChecker, questions: Sequence[_CodeQuestion], seed: int) -> None:
    """Ask for the tests of each question, and see whether they are worth passing."""
    replies = await run.answers([_request("code_tests.txt", one, seed, one.number) for one in questions])
    for question in questions:
        reply = replies.get(question.number)
        question.fault = None if reply else NO_REPLY
        question.test = code_of(reply.text).strip() if reply else ""
    tested = [question for question in questions if not question.fault]
    faults = await asyncio.gather(*(checker.fault_of_test(question.test) for question in tested))
    for question, fault in zip(tested, faults, strict=True):
        question.fault = fault


async def _solve(
    run: GenerationRun, checker: CodeChecker, questions: Sequence[_CodeQuestion], attempt: int, seed: int
) -> None:
    """Ask for one more solution of each question, and run it; after the last, what none solved has its fault."""
    requests = [
        _request("code_solution.txt", one, seed + attempt, one.number * SOLUTIONS + attempt) for one in questions
    ]
    replies = await run.answers(requests)
    answered = [(one, reply) for one in questions if (reply := replies.get(one.number * SOLUTIONS + attempt))]
    verdicts = await asyncio.gather(*(_try(checker, question, reply) for question, reply in answered))
    for (question, reply), verdict in zip(answered, verdicts, strict=True):
        if verdict is None:
            question.solution, question.model = _code(question, reply).strip("\n"), reply.model
        else:
            question.verdicts.add(verdict)
    for question in questions if attempt == SOLUTIONS - 1 else ():
        if not question.solution:
            late = question.verdicts == {OUT_OF_TIME}
            question.fault = ALL_OUT_OF_TIME if late else NO_SOLUTION if question.verdicts else NO_REPLY


async def _try(checker: CodeChecker, question: _CodeQuestion, reply: Reply) -> str | None:
    return await checker.verdict(_code(question, reply), question.test)


def _code(question: _CodeQuestion, reply: Reply) -> str:
    return code_of(reply.text, tested_function(question.test) or "")


def _question_request(number: int, seed: int, language: str) -> Request:
    rng = random.Random(f"{seed}/{number}")
    prompt = fill(
        _prompt("code_questions.txt"),
        count=str(QUESTIONS_A_REPLY),
        language=language,
        topic=rng.choice(TOPICS),
        level=rng.choice(LEVELS),
    )
    return Request(
        (Message("user", prompt),), QUESTION_TEMPERATURE, max_tokens=QUESTION_TOKENS, seed=seed, sample=number
    )


def _request(file: str, question: _CodeQuestion, seed: int, number: int) -> Request:
    solving = file == "code_solution.txt"
    return Request(
        (Message("user", fill(_prompt(file), question=question.text)),),
        SOLUTION_TEMPERATURE if solving else TEST_TEMPERATURE,
        SOLUTION_TOP_P if solving else 1.0,
        SOLUTION_TOKENS if solving else TEST_TOKENS,
        seed=seed,
        sample=number,
    )


def _prompt(file: str) -> str:
    return files("selfinstruct").joinpath("data", file).read_text(encoding="utf-8").strip()


def _candidate(question: _CodeQuestion) -> Candidate:
    output = f"```python\n{question.solution}\n```" if question.solution else ""
    name = tested_function(question.test)
    facts = {"test": question.test, **({"entry_point": name} if name else {})}
    task = Task(question.text, "", output)
    return Candidate(task, question.number, question.model, question.fault, question.similarity, facts)


async def _generate(run: GenerationRun, inputs: MethodInputs) -> None:
    assert inputs.programs
    await generate_code(run, CodeChecker(inputs.programs), inputs.seed, inputs.language)


CODE = Method(
    "code",
    "questions, unit tests, and the first of ten solutions that passes them",
    _generate,
    offline=True,
    answers_apart=False,
    executes=True,
    rules="code",
)
