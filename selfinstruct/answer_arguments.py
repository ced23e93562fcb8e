"""How answers are asked for apart from their tasks, on the command line."""

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from camelid.errors import UserError
from camelid.models.model_run import ModelRun, OpenModel
from selfinstruct.run_files import RunFiles

if TYPE_CHECKING:
    from selfinstruct.answers import Answerer


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; any of them makes answers a step of their own."""
    group = parser.add_argument_group("answers asked for apart from the tasks, with any of these")
    group.add_argument("--answer-model", metavar="MODEL", help="who answers (default: --model)")
    group.add_argument("--answer-price", metavar="PROMPT,COMPLETION", help="like --price, for the answers' model")
    group.add_argument("--answer-tokens", type=int, metavar="N", help="most tokens of an answer")
    group.add_argument(
        "--answers", type=int, metavar="K", help="to each task, of which --quality-model's best is taken; all are kept"
    )


def are_answers_apart(args: argparse.Namespace) -> bool:
    """Whether answers are a step of their own."""
    return any(value is not None for value in (args.answer_model, args.answer_tokens, args.answers))


def check_answer_arguments(args: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        UserError: a number is too small, the best of several has no judge, or the embedded model is to answer tasks of
            others.
    """
    for option, value in (("--answer-tokens", args.answer_tokens), ("--answers", args.answers)):
        if value is not None and value < 1:
            raise UserError(f"{option} must be at least 1")
    if (args.answers or 1) > 1 and not args.quality_model:
        raise UserError(f"--answers {args.answers}: somebody must choose; add --quality-model")
    if args.answer_model == "offline" != args.model:
        raise UserError("--answer-model offline: the embedded model can answer its own tasks alone; name another")


def describe_answer_arguments(args: argparse.Namespace) -> dict[str, object]:
    """For a ledger: who answers how; nothing where answers come with their tasks, as before there was a choice."""
    if not are_answers_apart(args):
        return {}
    return {"answers": {"model": args.answer_model, "tokens": args.answer_tokens, "count": args.answers or 1}}


def open_answerer(
    args: argparse.Namespace, open_model: OpenModel, files: RunFiles, teacher: ModelRun, stack: ExitStack
) -> "tuple[Answerer | None, list[ModelRun]]":
    """Who answers, if answers are apart, and the models opened for it; they spend from the teacher's limits."""
    from selfinstruct.answers import Answerer

    if not are_answers_apart(args):
        return None, []
    if args.answer_model is None:
        return Answerer(teacher, args.answer_tokens, args.answers or 1), []
    values = {**vars(args), "model": args.answer_model, "price": args.answer_price, "max_tokens": None}
    model = open_model(argparse.Namespace(**values), files.answers_journal)
    model.limits = teacher.limits
    return Answerer(stack.enter_context(model), args.answer_tokens, args.answers or 1), [model]
