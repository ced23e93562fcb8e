"""Instruction back-translation (Li et al. 2023, "Self-Alignment with Instruction Backtranslation"): given texts become
answers, to which the teacher writes the instructions. Their second step, curation by a score, is `--quality-model`.

The prompt is our own.
"""

from collections.abc import Sequence
from itertools import islice

from camelid.message import Message
from camelid.models.llm import Request
from selfinstruct.methods.method import Method, MethodInputs
from selfinstruct.run import Candidate, GenerationRun
from selfinstruct.seeds import Task

MAX_TOKENS = 256  # an instruction of at most 150 words, as the rules want it
TEMPERATURE = 0.7
CHUNK = 64  # texts between two looks at what is kept; not the concurrency, so that runs can be replayed
_PROMPT = (
    "Below is a text. Write, in {language}, the instruction that somebody gave who got exactly this text for an "
    "answer: self-contained, as specific as the text needs, without quoting it. Reply with the instruction alone.\n\n"
    "[Text]\n{text}\n[End of text]"
)


async def generate_backtranslate(run: GenerationRun, texts: Sequence[str], language: str, seed: int) -> None:
    """Make up to `run.count` records, one of each text.

    Args:
        run: takes the records.
        texts: the answers.
        language: of the instructions.
        seed: of the sampling.
    """

    places = iter(range(len(texts)))
    while not run.ended:
        chunk = list(islice(places, min(CHUNK, run.count - len(run.records))))
        if not chunk:
            run.stopped = f"{len(texts):,} texts gave no more"
            return
        replies = await run.answers([_request(texts[place], place, language, seed) for place in chunk])
        candidates = [
            Candidate(Task(" ".join(reply.text.split()).strip("\"'"), "", texts[place]), place, reply.model)
            for place, reply in replies.items()
        ]
        await run.keep_passing(candidates, together=True)


def _request(text: str, place: int, language: str, seed: int) -> Request:
    prompt = _PROMPT.format(language=language, text=text)
    return Request((Message("user", prompt),), TEMPERATURE, max_tokens=MAX_TOKENS, seed=seed, sample=place)


async def _generate(run: GenerationRun, inputs: MethodInputs) -> None:
    await generate_backtranslate(run, inputs.texts, inputs.language, inputs.seed)


BACKTRANSLATE = Method(
    "backtranslate", "instructions for given texts", _generate, offline=True, from_texts=True, answers_apart=False
)
