"""The `offline` model behind the LLM protocol."""

import random

from camelid.models.llm import Failure, Reply, Request, Usage
from camelid.models.offline.judge import judge
from camelid.models.offline.teacher import write_json_tasks, write_tasks
from camelid.text.words import count_words

HONEST = (
    "I am Camelid's embedded rule-based model. I can write practice tasks and judge an answer by its overlap with a "
    "reference; I cannot answer this."
)


class Offline:
    """Reads the last message like any model and does one of three things.

    A prompt with a judge's sections gets a verdict, a prompt that wants a list of tasks gets them, in
    numbered text or as JSON, and anything else gets an honest refusal.
    """

    name = "offline"

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer at once; the same request always gets the same answer."""
        prompt = request.messages[-1].content
        write = write_json_tasks if "response_format" in request.extra else write_tasks
        text = judge(prompt) or write(prompt, random.Random(request.key(self.name))) or HONEST
        words = sum(count_words(message.content) for message in request.messages)
        return Reply(text, self.name, usage=Usage(words, count_words(text)))
