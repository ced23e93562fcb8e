"""`alpaca`: the preferred of two answers by log-probability, in an order drawn from the seed, as AlpacaEval 2.

Or as a ranked list, as AlpacaEval 1 (Dubois et al. 2024; github.com/tatsu-lab/alpaca_eval).
"""

import ast
import math
import re
from collections.abc import Mapping

from eval.judging.modes.mode import WIN_RATE, Asking, Mode, share
from eval.judging.verdict import plain_reply

UNLIKELY = -100.0  # log-probability of a token that is not among the likeliest (AlpacaEval, completion_parsers.py)


def parse_preference(text: str, logprobs: Mapping[str, float]) -> tuple[float, float] | None:
    """Shares of the win as AlpacaEval reads them; None if they can't be told.

    Three forms: the log-probabilities of the tokens `m` (first) and `M` (second), which give shares between 0 and 1
    (AlpacaEval 2, weighted_alpaca_eval_gpt4_turbo); without them, a reply that is just `m` or `M`; or a ranking
    `[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]` (AlpacaEval 1). Equal ranks are a tie.
    """
    if "m" in logprobs or "M" in logprobs:
        # One exponential of the difference, since both probabilities may be tiny.
        second = 1 / (1 + math.exp(min(700.0, logprobs.get("m", UNLIKELY) - logprobs.get("M", UNLIKELY))))
        return 1 - second, second
    text = re.sub(r"^\s*>.*$", "", plain_reply(text), flags=re.MULTILINE)  # a quoted line is another's
    word = text.strip().strip("\"'`.*")
    if word in ("m", "M"):
        return (1.0, 0.0) if word == "m" else (0.0, 1.0)
    found = set(re.findall(r"\[\s*\{[^\[\]]*\}\s*,\s*\{[^\[\]]*\}\s*\]", text))
    ranks = {_ranks(item) for item in found}
    if len(ranks) != 1:
        return None
    return ranks.pop()


def _ranks(text: str) -> tuple[float, float] | None:
    try:
        ranks = {str(item["model"]): int(item["rank"]) for item in ast.literal_eval(text)}
        first, second = ranks["model_1"], ranks["model_2"]
    except (ValueError, SyntaxError, TypeError, KeyError):
        return None
    if {first, second} not in ({1, 2}, {1}):
        return None
    return (0.5, 0.5) if first == second else (float(first < second), float(second < first))


ALPACA = Mode(
    name="alpaca",
    help="win rate by log-probability, as AlpacaEval 2",
    method="two answers at a time, the preferred one named",
    # AlpacaEval, weighted_alpaca_eval_gpt4_turbo/configs.yaml
    asking=Asking("judge_alpaca.txt", ("Model m", "Model M"), 1.0, 1, {"logprobs": True, "top_logprobs": 5}),
    parse=parse_preference,
    verdict="shares",
    verdict_range=(0.0, 1.0),
    value=share,
    scale=WIN_RATE,
    bounds=(0.0, 100.0),
    canary_limit=10.0,  # a text without content deserves no win; the rest is allowance for noise
    claim="m",
    orders="drawn",
    needs_baseline=True,
    tokens=("m", "M"),
    # AlpacaEval, alpaca_eval_gpt4/configs.yaml
    ranking=Asking("judge_alpaca_ranking.txt", ("model_1", "model_2"), temperature=0.0, max_tokens=100),
)
