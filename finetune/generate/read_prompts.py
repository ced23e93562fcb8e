"""What a pass over prompts gives: logits of the token that follows each, and how likely its own tokens were.

Shapes: T tokens of all prompts back to back, U prompts, D width, V vocabulary.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from finetune.generate.chunk import ChosenToken
from finetune.generate.sampling import token_logprobs

ROWS = 256  # tokens whose logits are held at once; those of a whole prompt might be gigabytes


class PromptHead:
    """The `head` of a pass over prompts (see `Llama.forward`).

    Args:
        prompts: token ids of each, as the pass reads them.
        asked: prompts, by number, whose tokens' log-probabilities are wanted, and of how many likeliest ones.

    Attributes:
        tokens: after the pass, the tokens of the prompts asked for.
    """

    def __init__(self, prompts: Sequence[Sequence[int]], asked: Mapping[int, int]) -> None:
        self._prompts, self._asked = prompts, asked
        self.tokens: dict[int, tuple[ChosenToken, ...]] = {}

    def __call__(self, hidden_TD: Tensor, lm_head: nn.Module) -> Tensor:
        """(U, V) logits of the tokens that follow."""
        lengths = [len(prompt) for prompt in self._prompts]
        if self._asked:
            parts = torch.split(hidden_TD, lengths)
            for number, most in self._asked.items():
                self.tokens[number] = tokens_of_prompt(parts[number], lm_head, self._prompts[number], most)
        last_U = torch.tensor(lengths, device=hidden_TD.device).cumsum(0) - 1
        logits_UV: Tensor = lm_head(hidden_TD[last_U])
        return logits_UV


def tokens_of_prompt(
    hidden_TD: Tensor, lm_head: nn.Module, prompt: Sequence[int], most: int
) -> tuple[ChosenToken, ...]:
    """A prompt's tokens with their log-probabilities and those of the likeliest ones; the first token has none."""
    tokens = [ChosenToken(prompt[0], None)]
    for start in range(1, len(prompt), ROWS):
        own = prompt[start : start + ROWS]
        logits_RV = lm_head(hidden_TD[start - 1 : start - 1 + len(own)])
        described = token_logprobs(logits_RV, own, [most] * len(own))
        tokens += [ChosenToken(token, logprobs) for token, logprobs in zip(own, described, strict=True)]
    return tuple(tokens)
