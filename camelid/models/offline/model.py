"""The `offline` model behind the LLM protocol."""

from random import Random

from camelid.models.llm import Failure, Reply, Request, Usage
from camelid.models.offline.code import write_code
from camelid.models.offline.grade import grade, grade_exchange
from camelid.models.offline.instruct import write_instruction
from camelid.models.offline.judge import judge
from camelid.models.offline.solve import solve
from camelid.models.offline.teacher import write_json_tasks, write_tasks, write_turn
from camelid.text.words import count_words

HONEST = (
    "I am Camelid's embedded rule-based model. I can write practice tasks and judge an answer by its overlap with a "
    "reference; I cannot answer this."
)


CARELESS = 0.25  # of the answers at `CARELESS_FROM`, so that of several not all are equally good
CARELESS_FROM = 1.0  # temperature


class Offline:
    """Reads the last message like any model and does what it asks for, by rules.

    A prompt with a judge's sections gets a verdict, a record or an exchange to grade a number, a prompt that wants a
    list of tasks gets them, in numbered text or as JSON, a text an instruction, the user's open turn a task, a request
    for programming questions, their tests or solutions small functions. A task of its own is answered where the request
    names a seed, as requests for data do: an evaluation names none, and there it would answer what it has set itself.
    Anything else gets an honest refusal.
    """

    name = "offline"

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer at once; the same request always gets the same answer."""
        text = _reply(request, Random(request.key(self.name))) or HONEST
        words = sum(count_words(message.content) for message in request.messages) or 1  # an open turn has none
        return Reply(text, self.name, usage=Usage(words, count_words(text)))


def _reply(request: Request, random: Random) -> str | None:
    prompt = request.messages[-1].content
    if request.extra.get("continue_final_message"):
        return None if prompt else write_turn(random)
    write = write_json_tasks if "response_format" in request.extra else write_tasks
    found = judge(prompt) or grade(prompt) or grade_exchange(prompt)
    found = found or write(prompt, random) or write_instruction(prompt, random)
    found = found or write_code(prompt, random)
    return found or (None if request.seed is None else _answer(prompt, request.temperature, random))


def _answer(prompt: str, temperature: float, random: Random) -> str | None:
    """The answer to a task of its own; at a high temperature now and then only the first half of it."""
    answer = solve(prompt)
    if answer is None or temperature < CARELESS_FROM or random.random() >= CARELESS:
        return answer
    words = answer.split()
    return " ".join(words[: (len(words) + 1) // 2])
