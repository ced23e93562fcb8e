"""One answer at a time, for a terminal."""

from collections.abc import Iterator

from camelid.errors import UserError
from finetune.generate.decode import PromptJob
from finetune.generate.decoder import Decoder
from finetune.generate.sampling import Sampling
from finetune.generate.slots import round_up
from finetune.serve.served import ServedModel


def write_answer(served: ServedModel, prompt: list[int], seed: int, sampling: Sampling, fix: str) -> Iterator[str]:
    """The answer to a prompt as it is written.

    Args:
        served: the model.
        prompt: token ids.
        seed: of the random choices.
        sampling: how to choose.
        fix: what to do about a prompt that is too long, an imperative.

    Raises:
        UserError: the prompt fills the model's context.
    """
    context = served.model.config.context
    if len(prompt) >= context:
        raise UserError(f"the text has {len(prompt)} tokens, the model takes fewer than {context}; {fix}")
    # A decoder for each answer: Ctrl-C may come in the middle of a pass.
    decoder = Decoder[PromptJob](served.model, served.tokenizer, served.end_ids, 1, round_up(context))
    decoder.add([PromptJob(prompt, seed, sampling)])
    while decoder.busy:
        for _, chunk in decoder.step():
            yield chunk.text
