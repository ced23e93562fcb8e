"""`camelid eval answer | judge | report`."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.jsonl import atomic_write, write_json, write_jsonl
from camelid.lock import exclusive
from camelid.model_run import ModelRun

OpenModel = Callable[[argparse.Namespace, Callable[[str], Path]], ModelRun]


def register(rooms: Any, open_model: OpenModel, add_model_arguments: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the `eval` commands."""
    room = rooms.add_parser("eval", help="answer questions, judge the answers, write the report")
    verbs = room.add_subparsers(metavar="VERB", required=True)

    parser = _verb(verbs, "answer", "ask a model every question", answer, open_model)
    parser.add_argument("--label", help="the model's name in the report (default: its own)")
    parser.add_argument("--temperature", type=float, help="for all questions (default: by category, as MT-bench)")
    parser.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="of one answer (default 1024)")
    add_model_arguments(parser)

    parser = _verb(verbs, "judge", "let a model grade all answers, 1 to 10", judge, open_model)
    add_model_arguments(parser)

    parser = _verb(verbs, "report", "write report.html, report.md and results.json", report, open_model)
    parser.add_argument("--judge", help="whose grades, if there are several judges' in the folder")
    parser.add_argument("--title", default="Camelid evaluation", help="heading of the page")


def _verb(
    verbs: Any, name: str, text: str, run: Callable[[argparse.Namespace, OpenModel], int], open_model: OpenModel
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text)
    parser.add_argument("--questions", required=True, metavar="FILE", help="ours, MT-bench, Vicuna, AlpacaEval, ...")
    parser.add_argument("--references", metavar="FILE", help="MT-bench's file of reference answers")
    parser.add_argument("--output", required=True, metavar="DIR", help="the evaluation's folder")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=lambda args: run(args, open_model))
    return parser


def answer(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Write `answers/<label>.jsonl`; status 1 if an answer is missing."""
    from eval.answer import answer_all
    from eval.questions import read_questions

    if args.max_tokens < 1:
        raise UserError("--max-tokens must be at least 1")
    questions = read_questions(args.questions, args.references)
    folder = Path(args.output) / "answers"
    model = open_model(args, lambda name: folder / f"{_file_name(args.label or name)}.journal.jsonl")
    label = args.label or model.name
    with exclusive(folder / f"{_file_name(label)}.lock"):
        with model:
            answers = model.run(
                answer_all(model, label, questions, model.concurrency, args.temperature, args.max_tokens, args.quiet)
            )
        path = folder / f"{_file_name(label)}.jsonl"
        write_jsonl(path, (item.to_json() for item in answers))
    failures = [f"question {item.question}: {item.failure}" for item in answers if item.failure]
    print(f"{path}: {len(answers) - len(failures)} of {len(questions)} questions answered by {model.name}")
    return _status(model, failures)


def judge(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Write `judgments/<judge>.jsonl` for all answers in the folder; status 1 if a grade is missing."""
    from eval.judge import judge_all
    from eval.questions import read_questions

    questions = read_questions(args.questions, args.references)
    answers = _read_answers(Path(args.output))
    folder = Path(args.output) / "judgments"
    model = open_model(args, lambda name: folder / f"{_file_name(name)}.journal.jsonl")
    name = _file_name(model.name)
    with exclusive(folder / f"{name}.lock"):
        with model:
            judgments = model.run(judge_all(model, questions, answers, model.concurrency, args.quiet))
        path = folder / f"{name}.jsonl"
        write_jsonl(path, (item.to_json() for item in judgments))
    failures = [
        f"question {item.question}, {item.model}, turn {item.turn}: {item.failure or 'the reply holds no grade'}"
        for item in judgments
        if item.score is None
    ]
    print(f"{path}: {len(judgments) - len(failures)} of {len(judgments)} answers graded by {model.name}")
    return _status(model, failures)


def report(args: argparse.Namespace, _: OpenModel) -> int:
    """Write the three report files; status 1 if an answer or a grade is missing."""
    from eval import report as pages
    from eval.judge import read_judgments
    from eval.questions import read_questions
    from eval.results import markdown, summarise

    folder = Path(args.output)
    questions = read_questions(args.questions, args.references)
    answers = _read_answers(folder)
    judgments = read_judgments(_judgment_file(folder, args.judge))
    judges = sorted({judgment.judge for judgment in judgments})
    results = summarise(questions, answers, judgments, ", ".join(judges))
    write_json(folder / "results.json", results.to_json())
    with atomic_write(folder / "report.md") as file:
        file.write(markdown(results))
    with atomic_write(folder / "report.html") as file:
        file.write(pages.html(args.title, results, questions, answers, judgments))
    print(pages.headline(results))
    print((folder / "report.html").resolve())
    if results.complete:
        return 0
    print("camelid: some answers or grades are missing; the report counts them", file=sys.stderr)
    return 1


def _read_answers(folder: Path) -> list[Any]:
    from eval.answer import read_answers

    paths = sorted(path for path in folder.glob("answers/*.jsonl") if not path.name.endswith(".journal.jsonl"))
    if not paths:
        raise UserError(f"{folder / 'answers'}: no answers there; run `camelid eval answer` first")
    return [item for path in paths for item in read_answers(path)]


def _judgment_file(folder: Path, judge: str | None) -> Path:
    paths = sorted(path for path in folder.glob("judgments/*.jsonl") if not path.name.endswith(".journal.jsonl"))
    if judge is not None:
        paths = [path for path in paths if path.name == f"{_file_name(judge)}.jsonl"]
    if not paths:
        raise UserError(f"{folder / 'judgments'}: no grades there; run `camelid eval judge` first")
    if len(paths) > 1:
        names = ", ".join(path.name.removesuffix(".jsonl") for path in paths)
        raise UserError(f"{folder / 'judgments'}: grades of several judges ({names}); choose one with --judge")
    return paths[0]


def _file_name(name: str) -> str:
    """A model's name as a file name."""
    return re.sub(r"[^\w.@-]+", "_", name)


def _status(model: ModelRun, failures: list[str]) -> int:
    print(model.summary())
    for line in failures[:5]:
        print(f"camelid: {line}", file=sys.stderr)
    if len(failures) > 5:
        print(f"camelid: and {len(failures) - 5} more", file=sys.stderr)
    return 1 if failures else 0
