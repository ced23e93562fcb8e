"""Instruction back-translation (Li et al. 2023, "Self-Alignment with Instruction Backtranslation"): given texts become
answers, to which the teacher writes the instructions. Their second step, curation by a score, is `--quality-model`.

The prompt (`selfinstruct/data/backtranslate.txt`) is our own, or the user's.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from camelid.files.read import read_text
from camelid.message import Message
from camelid.models.llm import Request
from selfinstruct.methods.method import Method, MethodInputs
from selfinstruct.placeholders import check_holds, fill
from selfinstruct.run import Candidate, GenerationRun
from selfinstruct.seeds import Task

MAX_TOKENS = 256  # an instruction of at most 150 words, as the rules want it
TEMPERATURE = 0.7
CHUNK = 64  # texts between two looks at what is kept; not the concurrency, so that runs can be replayed
OWN = Path(__file__).parents[1] / "data" / "backtranslate.txt"


async def generate_backtranslate(run: GenerationRun, texts: Sequence[str], prompt: str, seed: int) -> None:
    """Make up to `run.count` records, one of each text.

    Args:
        run: takes the records.
        texts: the answers.
        prompt: what is asked, with `{text}` where a text goes.
        seed: of the sampling.
    """

    places = iter(range(len(texts)))
    while not run.ended:
        chunk = list(islice(places, min(CHUNK, run.count - len(run.records))))
        if not chunk:
            run.stopped = f"{len(texts):,} texts gave no more"
            return
        replies = await run.answers([_request(fill(prompt, text=texts[place]), place, seed) for place in chunk])
        candidates = [
            Candidate(Task(" ".join(reply.text.split()).strip("\"'"), "", texts[place]), place, reply.model)
            for place, reply in replies.items()
        ]
        await run.keep_passing(candidates, together=True)


def _request(prompt: str, place: int, seed: int) -> Request:
    return Request((Message("user", prompt),), TEMPERATURE, max_tokens=MAX_TOKENS, seed=seed, sample=place)


def read_prompt(path: str | Path | None, language: str) -> str:
    """Read what is asked, our own for None; of `{language}` and `{text}` only the latter is left to fill in.

    Raises:
        UserError: it does not say where the text goes.
    """
    prompt = read_text(path or OWN).strip()
    check_holds(prompt, ("{text}",), path, "selfinstruct/data/backtranslate.txt")
    return fill(prompt, language=language)


async def _generate(run: GenerationRun, inputs: MethodInputs) -> None:
    await generate_backtranslate(run, inputs.texts, read_prompt(inputs.prompt, inputs.language), inputs.seed)


BACKTRANSLATE = Method(
    "backtranslate",
    "instructions for given texts",
    _generate,
    offline=True,
    from_texts=True,
    has_prompt=True,
    answers_apart=False,
)
