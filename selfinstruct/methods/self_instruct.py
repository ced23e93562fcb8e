"""Self-Instruct in its four steps (Wang et al. 2023, section 2.2): instructions, their kind, instances, filters.

Numbers are those of github.com/yizhongw/self-instruct; the prompts are our own, for chat models, with examples
from the seeds.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camelid.files.ledger import Ledger
from camelid.message import Message
from camelid.models.llm import Request
from selfinstruct.methods.method import Method, MethodInputs
from selfinstruct.run import Candidate, GenerationRun
from selfinstruct.seeds import Task

if TYPE_CHECKING:
    from selfinstruct.keep.rouge import Similarity

# bootstrap_instructions.py
SEEDS_A_PROMPT, MACHINE_A_PROMPT = 6, 2
LAST_NUMBER = 16  # the stop string "\n16."
BOOTSTRAP: dict[str, Any] = {
    "temperature": 0.7, "top_p": 0.5, "max_tokens": 1024, "stop": (f"\n{LAST_NUMBER}.",),
    "extra": {"presence_penalty": 2},
}  # fmt: skip
# identify_clf_or_not.py; its few-shot prompt has 12 classification tasks and 19 others (paper, section 2.2)
YES_EXAMPLES, NO_EXAMPLES = 12, 19
IDENTIFY: dict[str, Any] = {"temperature": 0.0, "max_tokens": 3, "stop": ("\n",)}
# generate_instances.py
MOST_INSTANCES = 5
INSTANCES: dict[str, Any] = {"temperature": 0.0, "extra": {"presence_penalty": 1.5}}
MAX_TOKENS_CLASSIFICATION, MAX_TOKENS_OTHER = 300, 350
INSTANCE_EXAMPLES = 4  # seeds shown; the reference's fixed prompts show more, of their own

ROUND = 32  # instruction requests between two looks at the pool; not the concurrency, so that runs can be replayed
RECORDS_A_REQUEST = 4  # reckoned for the size of the last rounds: about 7 instructions, of which filters take some

_ITEM = re.compile(r"^\s*\d+\s*[.)]\s*", re.MULTILINE)
_EXAMPLE = re.compile(r"^\s*Example\s+\d+\.?[ \t]*$", re.MULTILINE)
_OUTPUT = re.compile(r"^\s*Output\s*\d*\s*:[ \t]*", re.MULTILINE)
_INPUT = re.compile(r"^\s*Input\s*\d*\s*:[ \t]*", re.MULTILINE)
_LABEL = re.compile(r"^\s*Class label\s*:[ \t]*", re.MULTILINE)


@dataclass(frozen=True)
class _New:
    """An instruction of step one that has passed its filters."""

    text: str
    similarity: "Similarity"
    request: int


async def generate_self_instruct(run: GenerationRun, seeds: Sequence[Task], seed: int) -> None:
    """Make `run.count` records, up to `MOST_INSTANCES` for each instruction.

    Args:
        run: takes the records; its selection already knows the seeds.
        seeds: tasks to show.
        seed: of what is shown.
    """
    machine: list[str] = []
    run.instructions = Ledger("instructions")
    number = barren = 0
    while not run.ended:
        before = len(run.records)
        size = min(ROUND, 1 + (run.count - before) // RECORDS_A_REQUEST)
        new = await _instructions(run, seeds, machine, seed, range(number, number + size))
        number += size
        machine += [instruction.text for instruction in new]
        if new and not run.ended:
            classes = await _classifications(run, seeds, new)
            await _instances(run, seeds, list(zip(new, classes, strict=True)))
        barren = 0 if len(run.records) > before else barren + size
        if barren >= ROUND and not run.ended:
            run.stopped = f"{barren} requests for instructions gave no new record; the ledger says why"


async def _instructions(
    run: GenerationRun, seeds: Sequence[Task], machine: Sequence[str], seed: int, numbers: range
) -> list[_New]:
    """Step one: new instructions after six of the seeds and two of the machine's."""
    new: list[_New] = []
    requests = (_bootstrap_request(seeds, machine, seed, number) for number in numbers)
    async for request, reply in run.ask(requests):
        texts = parse_instructions(reply.text, reply.finish_reason == "length")
        if not texts and run.instructions:
            run.instructions.drop("no instruction in the reply", example=reply.text)
        new += [_New(text, similarity, request.sample) for text, similarity in run.keep_instructions(texts)]
    return new


def _bootstrap_request(seeds: Sequence[Task], machine: Sequence[str], seed: int, number: int) -> Request:
    rng = random.Random(f"{seed}/{number}")
    shown = rng.sample(list(machine), min(MACHINE_A_PROMPT, len(machine)))
    shown += [task.instruction for task in rng.sample(list(seeds), SEEDS_A_PROMPT + MACHINE_A_PROMPT - len(shown))]
    rng.shuffle(shown)
    listed = "\n".join(f"{place}. {' '.join(text.split()).rstrip(':')}" for place, text in enumerate(shown, start=1))
    prompt = (
        "Continue this list of varied tasks for a language model, one line each, up to number "
        f"{LAST_NUMBER - 1}:\n{listed}\n{len(shown) + 1}."
    )
    return _request(prompt, number, BOOTSTRAP)


def parse_instructions(completion: str, truncated: bool) -> list[str]:
    """The items of a numbered list, each capitalised; of a truncated one without the last."""
    items = [" ".join(item.split()) for item in _ITEM.split(completion)]
    if truncated:
        items = items[:-1]
    return [item[:1].upper() + item[1:] for item in items if item]


async def _classifications(run: GenerationRun, seeds: Sequence[Task], new: Sequence[_New]) -> list[bool | None]:
    """Step two: whether each instruction is a classification task with a small set of labels; None without a reply."""
    examples = [task for task in seeds if task.classification][:YES_EXAMPLES]
    examples += [task for task in seeds if not task.classification][:NO_EXAMPLES]
    shown = "\n\n".join(
        f"Task: {' '.join(task.instruction.split())}\nIs it classification? {'Yes' if task.classification else 'No'}"
        for task in examples
    )
    head = "Is the last task a classification task, whose output is one of a few fixed labels? Answer Yes or No."
    requests = [
        _request(f"{head}\n\n{shown}\n\nTask: {item.text}\nIs it classification?", place, IDENTIFY)
        for place, item in enumerate(new)
    ]
    replies = await run.answers(requests)
    return [
        replies[place].text.strip().lower().startswith("yes") if place in replies else None for place in range(len(new))
    ]


async def _instances(run: GenerationRun, seeds: Sequence[Task], new: Sequence[tuple[_New, bool | None]]) -> None:
    """Step three: inputs and outputs, output first for classification."""
    known = [(item, classification) for item, classification in new if classification is not None]
    for _ in range(len(new) - len(known)):
        run.tasks.drop("not known whether classification: no reply")
    requests = [
        _instance_request(seeds, item.text, classification, place) for place, (item, classification) in enumerate(known)
    ]
    replies = await run.answers(requests)
    candidates: list[Candidate] = []
    for place, (item, classification) in enumerate(known):
        reply = replies.get(place)
        if reply is None:
            instances: list[tuple[Task, str | None]] = [(Task(item.text, "", ""), "no instances: no reply")]
        else:
            parse = parse_output_first if classification else parse_input_first
            pairs = parse(reply.text, reply.finish_reason == "length")
            instances = _check_instances(
                [Task(item.text, given, output, classification) for given, output in pairs], item.text
            )
        model, facts = reply.model if reply else "", {"is_classification": classification}
        candidates += [Candidate(task, item.request, model, fault, item.similarity, facts) for task, fault in instances]
    await run.keep_passing(candidates, together=True)


def _check_instances(tasks: Sequence[Task], instruction: str) -> list[tuple[Task, str | None]]:
    """Step four: each instance of an instruction with the reason against it of prepare_for_finetuning.py, or None."""
    if not tasks:
        return [(Task(instruction, "", ""), "no instance in the reply")]
    distinct = list(dict.fromkeys(tasks))
    checked: list[tuple[Task, str | None]] = [(tasks[0], "instance repeated")] * (len(tasks) - len(distinct))
    inputs = [task.input for task in distinct if task.input]
    for task in distinct:
        if len(set(inputs)) < len(inputs):
            checked.append((task, "one input, several outputs"))  # filter_duplicate_instances
        elif task.input.endswith(":") or task.output.endswith(":"):
            checked.append((task, "input or output ends in a colon"))  # filter_invalid_instances
        else:
            checked.append((task, None))
    return checked


def _instance_request(seeds: Sequence[Task], instruction: str, classification: bool, number: int) -> Request:
    examples = [task for task in seeds if task.classification == classification][:INSTANCE_EXAMPLES]
    if classification:
        head = "Give examples for the last task: first a class label, then an input that belongs to it."
        shown = [f"Task: {task.instruction}\nClass label: {task.output}\n{task.input}" for task in examples]
    else:
        head = "Give examples for the last task: an input where it needs one, then the output."
        shown = [
            f"Task: {task.instruction}\nExample 1\n" + (f"Input: {task.input}\n" if task.input else "")
            + f"Output: {task.output}"
            for task in examples
        ]  # fmt: skip
    prompt = "\n\n".join([f"{head} At most {MOST_INSTANCES}.", *shown, f"Task: {instruction}\n"])
    limits = {
        "max_tokens": MAX_TOKENS_CLASSIFICATION if classification else MAX_TOKENS_OTHER,
        "stop": (f"Example {MOST_INSTANCES + 1}", "Task:"),
    }
    return _request(prompt, number, {**INSTANCES, **limits})


def parse_input_first(completion: str, truncated: bool) -> list[tuple[str, str]]:
    """(input, output) of each `Example n`; without `Output:` the whole example is the output."""
    blocks = [block.strip() for block in _EXAMPLE.split(completion) if block.strip()]
    pairs = []
    for block in blocks[:-1] if truncated else blocks:
        before, *after = _OUTPUT.split(block, maxsplit=1)
        output = _INPUT.split(after[0], maxsplit=1)[0] if after else before  # a second pair in one example goes
        pairs.append((_INPUT.sub("", before, count=1).strip() if after else "", output.strip()))
    return pairs[:MOST_INSTANCES]


def parse_output_first(completion: str, truncated: bool) -> list[tuple[str, str]]:
    """(input, label) of each `Class label:`; the label is its line, the input what follows."""
    blocks = [block.strip() for block in _LABEL.split(completion)[1:]]
    pairs = []
    for block in blocks[:-1] if truncated else blocks:
        label, _, given = block.partition("\n")
        pairs.append((given.strip(), label.strip()))
    return pairs[:MOST_INSTANCES]


def _request(prompt: str, number: int, settings: dict[str, Any]) -> Request:
    return Request((Message("user", prompt),), seed=number, sample=number, **settings)


async def _generate(run: GenerationRun, inputs: MethodInputs) -> None:
    await generate_self_instruct(run, inputs.seeds, inputs.seed)


SELF_INSTRUCT = Method("self-instruct", "four steps: instructions, their kind, instances, filters", _generate)
