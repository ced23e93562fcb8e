"""`camelid conversations score`."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camelid.errors import UserError, suggest_name
from camelid.models.model_run import ModelRun, OpenModel
from conversations.scores.table import ALL_SCORES, DEFAULT

if TYPE_CHECKING:
    from camelid.message import Conversation
    from conversations.scores.difficulty import LossModel
    from conversations.scores.judging import Judging
    from conversations.scores.score_set import ScoredSet
    from conversations.scores.select import Choice, KeepUnlike
    from conversations.scores.unlike import Embed


@dataclass(frozen=True)
class ModelOpeners:
    """What opens the models that this room can't know.

    Attributes:
        losses: from the folder of a local model to its losses.
        embed: from the name of an embedding model to what embeds texts.
    """

    losses: "Callable[[str], LossModel]"
    embed: "Callable[[str], Embed]"


def register_score(
    verbs: Any,
    open_model: OpenModel,
    add_model_arguments: Callable[[argparse.ArgumentParser], None],
    openers: ModelOpeners,
) -> None:
    """Add the verb to the `conversations` command."""
    parser = verbs.add_parser("score", help="put scores into the meta of conversations, and choose by them")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="conversations, in any format `convert` reads")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the conversations, JSON Lines")
    named = "; ".join(f"{score.name}: {score.help}" for score in ALL_SCORES.values())
    parser.add_argument(
        "--scores",
        nargs="*",
        default=list(DEFAULT),
        metavar="NAME",
        help=f"what to compute (default {' '.join(DEFAULT)}; none: choose by the scores that are there): {named}",
    )
    parser.add_argument("--loss-model", metavar="DIR", help="model folder whose losses make ifd")
    parser.add_argument("--seed", type=int, default=0, help="of the judge and of `random` (default 0)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    group = parser.add_argument_group("choosing")
    bound = "NAME=X"
    group.add_argument("--min-score", nargs="+", default=[], metavar=bound, help="drop what has less, or no such score")
    group.add_argument("--max-score", nargs="+", default=[], metavar=bound, help="drop what has more, or no such score")
    group.add_argument("--top", type=float, metavar="N", help="of what is left, keep the best N, or a share below 1")
    group.add_argument("--by", metavar="NAME", help="the score that says what is best")
    group.add_argument(
        "--unlike",
        type=float,
        nargs="?",
        const=0.9,
        metavar="SIMILARITY",
        help="take none whose embedding's cosine to a better one is above this (0.9 if no number is given)",
    )
    group.add_argument(
        "--embedder", metavar="MODEL", help="sentence-transformers' folder or name on the hub, for --unlike"
    )
    add_model_arguments(parser.add_argument_group("the judge"))
    parser.set_defaults(run=lambda args: run_score(args, open_model, openers))


def run_score(args: argparse.Namespace, open_model: OpenModel, openers: ModelOpeners) -> int:
    """Score and choose; status 1 if the judge failed, or nothing is kept."""
    from camelid.files.lock import exclusive_lock
    from camelid.files.paths import beside, refuse_overwriting

    choice = _check(args)
    for ending in ("", ".ledger.json", ".journal.jsonl", ".losses.jsonl"):
        refuse_overwriting(beside(args.output, ending) if ending else args.output, args.inputs)
    with exclusive_lock(beside(args.output, ".lock")):
        return _score(args, choice, open_model, openers)


def _check(args: argparse.Namespace) -> "Choice":
    """What is to be chosen.

    Raises:
        UserError: options that are unknown, or don't go together.
    """
    from conversations.scores.select import Choice, read_bounds

    args.scores = list(dict.fromkeys(args.scores))
    for name in args.scores:
        if name not in ALL_SCORES:
            raise UserError(f"--scores: {name!r} is unknown{suggest_name(name, ALL_SCORES)}")
    sources = {ALL_SCORES[name].source for name in args.scores}
    if ("losses" in sources) != (args.loss_model is not None):
        raise UserError("--scores ifd and --loss-model DIR go together: both or neither")
    if (args.unlike is None) != (args.embedder is None):
        raise UserError("--unlike and --embedder MODEL go together: both or neither")
    if (args.top is not None or args.unlike is not None) and args.by is None:
        raise UserError("--top and --unlike need --by NAME: which score says what is best")
    if args.by is not None and args.top is None and args.unlike is None:
        raise UserError("--by: goes with --top N or --unlike; leave it out")
    if args.top is not None and not (0 < args.top < 1 or (args.top >= 1 and args.top % 1 == 0)):
        raise UserError(f"--top {args.top:g}: must be a whole number from 1, or a share between 0 and 1")
    if args.unlike is not None and not -1 <= args.unlike <= 1:
        raise UserError(f"--unlike {args.unlike:g}: a cosine is from -1 to 1")
    return Choice(read_bounds(args.min_score, args.max_score), args.by, args.top)


def _score(args: argparse.Namespace, choice: "Choice", open_model: OpenModel, openers: ModelOpeners) -> int:
    from camelid.files.paths import beside
    from conversations.formats.read_inputs import read_inputs
    from conversations.scores.difficulty import KeptLosses
    from conversations.scores.judging import Judging
    from conversations.scores.score_set import ScoredSet
    from conversations.scores.select import choose

    def read() -> "Iterator[Conversation]":
        return read_inputs(args.inputs)

    with ExitStack() as stack:
        scored = ScoredSet(read, args.scores, args.seed)
        judge = None
        if scored.asked("judge"):
            judge = stack.enter_context(open_model(args, beside(args.output, ".journal.jsonl")))
        losses = openers.losses(args.loss_model) if args.loss_model else None
        embed = openers.embed(args.embedder) if args.embedder else None
        scored.measure(choice.names)
        if losses:
            kept = KeptLosses(beside(args.output, ".losses.jsonl"), losses)
            stack.callback(kept.close)
            scored.weigh_losses(kept, args.quiet)
        judging = Judging(scored)
        if judge:
            judge.run(judging.run(judge, args.quiet))
        stays, dropped = list[int](), Counter[str]()
        if judging.stopped is None:
            unlike = _unlike(scored, embed, args.unlike) if embed else None
            stays, dropped = choose(choice, scored.columns, scored.count, unlike)
        return _finish(args, scored, judging, judge, stays, dropped)


def _unlike(scored: "ScoredSet", embed: "Embed", threshold: float) -> "KeepUnlike":
    """The filter for diversity, over all conversations' embeddings."""
    from itertools import islice

    import numpy as np

    from conversations.scores.score_set import BATCH
    from conversations.scores.unlike import embedding_text, keep_unlike, unit_length

    source, parts = scored.read(), []
    while batch := list(islice(source, BATCH)):
        parts.append(unit_length(embed([embedding_text(one) for one in batch])))
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)
    return lambda order, limit: keep_unlike(vectors, order, limit, threshold)


def _finish(
    args: argparse.Namespace,
    scored: "ScoredSet",
    judging: "Judging",
    judge: ModelRun | None,
    stays: list[int],
    dropped: Counter[str],
) -> int:
    """Write what is chosen with its scores, and the ledger; say what became of it; the exit status."""
    from camelid.files.ledger import Ledger, write_ledgers
    from camelid.files.paths import beside
    from camelid.files.write import write_jsonl
    from conversations.scores.score import with_scores

    conversations = Ledger("conversations", kept=len(stays), dropped=dropped)
    for name, reasons in scored.missing.items():
        for reason, count in reasons.items():
            conversations.note(f"no {name}: {reason}", count)
    ledgers = [conversations, *([judging.grades] if judge else [])]
    if judging.stopped is None:
        chosen = set(stays)
        write_jsonl(
            args.output,
            (
                with_scores(one, scored.scores_of(place)).to_json()
                for place, one in enumerate(scored.read())
                if place in chosen
            ),
        )
    else:
        ledgers = ledgers[1:]
    write_ledgers(
        beside(args.output, ".ledger.json"),
        ledgers,
        scores=args.scores,
        seed=args.seed,
        chosen={name: getattr(args, name) for name in ("min_score", "max_score", "top", "by", "unlike", "embedder")},
        loss_model=args.loss_model,
        complete=judging.stopped is None,
        stopped=judging.stopped,
        spent=[judge.to_json()] if judge else [],
    )
    for ledger in ledgers:
        print(ledger.summary())
    if judge:
        print(f"{judge.name}: {judge.summary()}")
    if judging.stopped is not None:
        print(f"camelid: stopped, no output written: {judging.stopped}; the same command goes on", file=sys.stderr)
        return 1
    for line in _table(scored):
        print(line)
    print(f"{args.output}: {len(stays):,} conversations")
    if judging.failed:
        print(f"camelid: {judging.failed:,} grades are missing; the same command asks for them again", file=sys.stderr)
    return 0 if stays and not judging.failed else 1


def _table(scored: "ScoredSet") -> Iterator[str]:
    """Quartiles of every score that was computed, of all conversations that were read."""
    import numpy as np

    if scored.names and scored.count:
        yield f"{'':16}" + "".join(f"{name:>11}" for name in ("lowest", "25 %", "median", "75 %", "highest", "without"))
    for name in scored.names:
        known = [value for value in scored.columns[name] if value is not None]
        if known:
            cells = [f"{value:11.4g}" for value in np.percentile(known, [0, 25, 50, 75, 100])]
            yield f"{name:16}" + "".join(cells) + f"{scored.count - len(known):>11,}"
