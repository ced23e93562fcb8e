"""`camelid finetune retrieval`: whether a model finds a key in code of many lengths, wherever it stands."""

import argparse
from pathlib import Path
from typing import Any

from camelid.errors import UserError

DEPTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
ANSWER_TOKENS = 16  # a key has 5 digits, each at most a token


def register(rooms: Any) -> None:
    """Add the command; its name is two words, and `camelid finetune --help` names it."""
    parser = rooms.add_parser("finetune retrieval", description="does a model find a key, by its place and the length?")
    parser.add_argument("model", help="model folder")
    parser.add_argument("--lengths", nargs="+", type=int, required=True, metavar="N", help="tokens of the prompts")
    parser.add_argument(
        "--depths", nargs="+", type=float, default=DEPTHS, metavar="D",
        help="where the key stands, 0 (beginning) to 1 (default: 0 0.2 0.4 0.6 0.8 1)",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="prompts of each (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="of code and keys (default 0)")
    parser.add_argument("--output", required=True, metavar="DIR", help="for retrieval.json and the chart")
    parser.set_defaults(run=run_retrieval)


def run_retrieval(args: argparse.Namespace) -> int:
    """Ask, print and write a table by length and place."""
    if args.samples < 1:
        raise UserError(f"--samples {args.samples}: must be at least 1")
    if not all(0 <= depth <= 1 for depth in args.depths):
        raise UserError("--depths: must be from 0 (the beginning) to 1 (the end)")
    from conversations.tokens.open_tokenizer import open_tokenizer
    from finetune.context.key_retrieval import ask_for_key, share_right, write_shares
    from finetune.folders.generation_config import end_ids_of_folder
    from finetune.folders.open_folder import open_weights
    from finetune.generate.decode import generate
    from finetune.generate.sampling import Sampling

    model, tokenizer = open_weights(Path(args.model)), open_tokenizer(args.model)
    _check_lengths(args.lengths, model.config.context)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    questions = [
        ask_for_key(length, depth, args.seed + sample, count)
        for length in args.lengths
        for depth in args.depths
        for sample in range(args.samples)
    ]
    answers = []
    for question in questions:  # one at a time: a long prompt takes the memory of many short ones
        ids = tokenizer(question.prompt)["input_ids"]
        sampling = Sampling(ANSWER_TOKENS, temperature=0.0)
        answers += generate(model, [ids], [0], tokenizer, end_ids_of_folder(args.model), sampling)
    shares = share_right(questions, [answer.text for answer in answers])
    write_shares(Path(args.output), shares, {"model": args.model, "samples": args.samples, "seed": args.seed})
    for length in args.lengths:
        found = "  ".join(f"{100 * shares[length, depth]:3.0f}%" for depth in args.depths)
        print(f"{length:>8,} tokens: {found}")
    return 0


def _check_lengths(lengths: list[int], context: int) -> None:
    for length in lengths:
        if not 256 <= length <= context - ANSWER_TOKENS:
            raise UserError(
                f"--lengths {length}: must be from 256 to {context - ANSWER_TOKENS}, as prompt and answer share the "
                f"model's {context} tokens; `camelid weights rope` makes a folder with more"
            )
