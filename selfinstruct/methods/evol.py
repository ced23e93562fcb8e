"""Evol-Instruct (Xu et al. 2023, WizardLM, section 3): instructions made harder or rarer, round by round.

The operators, their equal chances, four rounds and the four reasons for elimination are the paper's; the
prompts (`evol_prompts`) are our own, or the user's.
"""

import random
import re
from collections.abc import Sequence
from itertools import islice

from camelid.files.ledger import Ledger
from camelid.message import Message
from camelid.models.llm import Reply, Request
from camelid.text.words import unicode_tokens
from selfinstruct.keep.nearness import Nearness
from selfinstruct.methods.evol_prompts import EvolPrompts, read_evol_prompts
from selfinstruct.methods.method import Method, MethodInputs
from selfinstruct.methods.parse import CUT_OFF
from selfinstruct.run import Candidate, GenerationRun
from selfinstruct.seeds import Task

ROUNDS = 4  # section 4.1: M = 4
TEMPERATURE, TOP_P, MAX_TOKENS = 1.0, 0.9, 2048  # section 4.1
SORRY_WORDS = 80  # section 3.2, elimination: an answer with "sorry" and fewer words than this
CHUNK = 64  # instructions between two steps; not the concurrency, so that runs can be replayed
# An evolved instruction is near its parent, so only a copy is too near; 0.999 leaves room for rounding.
COPIED = Nearness(0.999, "repeats an instruction word for word")
NO_ANSWER = "no answer to the new instruction"

# Words of our prompts that a real task has no use for.
_LEAKED = re.compile(
    r"\[(End of )?(first |second )?task\]|\b(the )?(new|given|rewritten|evolved) (task|prompt)\b", re.I
)
# English function words, the stop words that matter for an empty answer.
_STOP_WORDS = frozenset(
    "a an and are as at be been but by can could did do does for from had has have he her his i if in is it its me my "
    "no not of on or our she so that the their them they this to us was we were what which who will with would you "
    "your".split()
)


async def generate_evol(
    run: GenerationRun, tasks: Sequence[Task], seed: int, prompts: EvolPrompts, rounds: int = ROUNDS
) -> None:
    """Make up to `run.count` records from the tasks of any instruction file.

    A task whose evolution is eliminated goes into the next round as it was.

    Args:
        run: takes the records.
        tasks: the first generation; an input is taken as the end of its instruction.
        seed: of the choice of operators.
        prompts: the operators, and what is asked.
        rounds: how often each task is evolved at most.
    """
    run.instructions = Ledger("instructions")
    pool = ["\n\n".join(filter(None, (task.instruction, task.input))) for task in tasks]
    for generation in range(1, rounds + 1):
        places = iter(range(len(pool)))
        while chunk := list(islice(places, CHUNK)):
            await _evolve_chunk(run, pool, chunk, generation, seed, prompts)
            if run.ended:
                return
    run.stopped = f"{rounds} rounds over {len(pool):,} instructions gave no more"


async def _evolve_chunk(
    run: GenerationRun, pool: list[str], chunk: list[int], generation: int, seed: int, prompts: EvolPrompts
) -> None:
    """Evolve, compare, answer and eliminate some places of the pool."""
    names = list(prompts.operators)
    operators = {place: random.Random(f"{seed}/{generation}/{place}").choice(names) for place in chunk}
    evolved = await _ask_evolved(run, pool, operators, generation, prompts)
    requests = [] if run.answerer else [_request(text, generation, place) for place, text in evolved.items()]
    replies = await run.answers(requests)
    candidates = []
    for place, text in evolved.items():
        reply, facts = replies.get(place), {"operator": operators[place], "generation": generation}
        if run.answerer:
            candidates.append(Candidate(Task(text, "", ""), place, "", facts=facts))
        elif reply is None:
            candidates.append(Candidate(Task(text, "", ""), place, "", NO_ANSWER))
        else:
            task = Task(text, "", reply.text.strip())
            candidates.append(Candidate(task, place, reply.model, _reason_against_answer(reply), facts=facts))
    for kept in await run.keep_passing(candidates, COPIED, together=True):
        pool[kept.request] = kept.task.instruction


async def _ask_evolved(
    run: GenerationRun, pool: Sequence[str], operators: dict[int, str], generation: int, prompts: EvolPrompts
) -> dict[int, str]:
    """The new instruction of each place, where there is one that differs in substance."""
    ledger = run.instructions
    assert ledger
    replies = await run.answers(
        [
            _request(prompts.ask_evolved(operator, pool[place]), generation, place)
            for place, operator in operators.items()
        ]
    )
    texts: dict[int, str] = {}
    for place in operators:
        if place not in replies:
            ledger.drop("no reply")
            continue
        text = replies[place].text.strip()
        reason = CUT_OFF if replies[place].finish_reason == "length" else None
        reason = reason or ("says words of the prompt" if _LEAKED.search(text) else None)
        if reason := reason or run.selection.reason_to_drop_instruction(text):
            ledger.drop(reason, example=text)
        else:
            texts[place] = text
    questions = [
        _request(prompts.ask_equal(pool[place], text), generation, place, temperature=0.0)
        for place, text in texts.items()
    ]
    verdicts = await run.answers(questions)
    for place in list(texts):
        if place not in verdicts:
            ledger.drop("not compared: no reply")
        elif verdicts[place].text.strip().lower().startswith("equal"):
            ledger.drop("no more information than before", example=texts[place])
        else:
            ledger.keep()
            continue
        del texts[place]
    run.stop_at_standstill(ledger)
    return texts


def _reason_against_answer(reply: Reply) -> str | None:
    """The two reasons of elimination that lie in the answer, and a third of ours."""
    words = unicode_tokens(reply.text)
    if reply.finish_reason == "length":
        return CUT_OFF
    if "sorry" in words and len(words) < SORRY_WORDS:
        return "the answer says sorry"
    if all(word in _STOP_WORDS for word in words):
        return "the answer says nothing"
    return None


def _request(prompt: str, generation: int, place: int, temperature: float = TEMPERATURE) -> Request:
    return Request(
        messages=(Message("user", prompt),),
        temperature=temperature,
        top_p=TOP_P,
        max_tokens=MAX_TOKENS,
        seed=generation,
        sample=place,
    )


async def _generate(run: GenerationRun, inputs: MethodInputs) -> None:
    await generate_evol(run, inputs.instructions, inputs.seed, read_evol_prompts(inputs.prompt))


EVOL = Method("evol", "instructions made harder or rarer, round by round", _generate, evolves=True, has_prompt=True)
