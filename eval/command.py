"""`camelid eval answer | judge | check | report | compare | difficulties | preferences`."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.lock import exclusive_lock
from camelid.files.paths import suggest_path
from camelid.files.read import read_text
from camelid.files.write import atomic_write, write_json, write_jsonl
from camelid.models.model_run import ModelRun, OpenModel
from camelid.models.spend import CostEstimate
from camelid.sandbox.arguments import add_sandbox_argument
from eval.judging.modes.mode import Mode
from eval.judging.modes.pairwise import PAIRWISE
from eval.judging.modes.table import MODES
from eval.preferences_command import register_preferences


def register(rooms: Any, open_model: OpenModel, add_model_arguments: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the `eval` commands."""
    room = rooms.add_parser("eval", help="answer questions, judge the answers, write the report")
    verbs = room.add_subparsers(metavar="VERB", required=True)

    parser = _verb(verbs, "answer", "ask a model every question", run_answer, open_model)
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="answers to each of --tasks (default 1)")
    parser.add_argument(
        "--completions", action="store_true", help="let a base model go on with the code of --tasks, or fill its hole"
    )
    parser.add_argument("--label", help="the model's name in the report (default: its own; of a folder, its run's)")
    parser.add_argument("--system", metavar="FILE", help="a system message for the questions that have none")
    _add_estimate(parser)
    add_model_arguments(parser)

    parser = _verb(
        verbs, "judge", "let a model judge all answers; one run for each judge of a panel", run_judge, open_model
    )
    parser.add_argument(
        "--mode",
        choices=tuple(MODES),
        default=next(iter(MODES)),
        help="; ".join(f"{mode.name}: {mode.help}" for mode in MODES.values()),
    )
    parser.add_argument("--baseline", metavar="LABEL", help="compare all models with this one")
    ranked, drawn = _named(lambda mode: mode.ranking is not None), _named(lambda mode: mode.orders == "drawn")
    parser.add_argument("--ranking", action="store_true", help=f"{ranked}: ask for a ranking, as AlpacaEval 1")
    parser.add_argument("--seed", type=int, default=0, help=f"{drawn}: which answer is shown first (default 0)")
    parser.add_argument(
        "--audit",
        type=int,
        default=20,
        metavar="N",
        help="audit the judge: N questions judged twice, and N with a constant answer (default 20; 0: none)",
    )
    _add_estimate(parser)
    add_sandbox_argument(parser)
    add_model_arguments(parser)
    _register_reports(verbs, open_model)


def _register_reports(verbs: Any, open_model: OpenModel) -> None:
    """The verbs that ask no model."""
    parser = _verb(verbs, "report", "write report.html, report.md and results.json", run_report, open_model)
    parser.add_argument(
        "--mode", choices=tuple(MODES), help="which judgments, if there are several modes' in the folder"
    )
    parser.add_argument(
        "--judge", action="append", default=[], help="whose judgments, several times for several judges"
    )
    parser.add_argument("--baseline", metavar="LABEL", help="where the judgments don't name it")
    parser.add_argument("--force", action="store_true", help="rank the models although judgments are missing")
    parser.add_argument("--title", default="Camelid evaluation", help="heading of the page")
    parser.add_argument(
        "--own",
        metavar="LABEL",
        help="your own model, whose differences from all others are tested (default: the first; all: every pair)",
    )
    parser.add_argument(
        "--difficulties", metavar="FILE", help="what `eval difficulties` wrote: for the win rate at equal length"
    )
    parser.add_argument(
        "--training-data", nargs="+", default=[], metavar="FILE", help="say which of --tasks are in these records"
    )

    parser = _verb(
        verbs, "check", "check instructions that code can check (IFEval's), without a judge", run_check, None
    )

    parser = verbs.add_parser(
        "compare", help="before and after: two models on several question sets, or two runs question by question"
    )
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="evaluations with a report: one a question set, or two runs over one"
    )
    parser.add_argument(
        "--questions", metavar="FILE", help="the two folders are runs over these: compare them question by question"
    )
    parser.add_argument("--before", metavar="LABEL", help="the model before; of two runs, of the first")
    parser.add_argument("--after", metavar="LABEL", help="the model after; of two runs, of the second")
    parser.add_argument("--output", metavar="FILE", help="write a page, too: of two runs, with every question")
    parser.set_defaults(run=run_compare)

    parser = verbs.add_parser("difficulties", help="fit the questions' difficulties to AlpacaEval annotations you have")
    parser.add_argument("folder", metavar="DIR", help="with several models' annotations.json, also in its folders")
    parser.add_argument("--judge", help="whose annotations, if there are several judges'")
    parser.add_argument("--output", metavar="FILE", help="default: DIR/difficulties.json")
    parser.set_defaults(run=run_difficulties)
    register_preferences(verbs)


def _named(asked: Callable[[Mode], bool]) -> str:
    """The modes of which something is true, for a sentence."""
    return " or ".join(mode.name for mode in MODES.values() if asked(mode))


def _verb(
    verbs: Any, name: str, text: str, run: Callable[[argparse.Namespace, Any], int], open_model: OpenModel | None
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--questions", metavar="FILE", help="eval/data/questions_single.jsonl or any other")
    if name != "check":
        asked.add_argument("--tasks", metavar="FILE", help="programs to write: HumanEval, MBPP, infilling, or your own")
    parser.add_argument("--references", metavar="FILE", help="MT-bench's file of reference answers")
    parser.add_argument("--output", required=True, metavar="DIR", help="the evaluation's folder")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=lambda args: run(args, open_model))
    return parser


def _add_estimate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--estimate", action="store_true", help="say what the run will cost, from a few replies (kept for it), and stop"
    )


def run_answer(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Write `answers/<label>.jsonl`; status 1 if an answer is missing."""
    from eval.ask.answer import answer_all, estimate_all
    from eval.ask.questions import read_questions
    from eval.ask.tasks.read import continued, read_tasks, task_questions
    from eval.folder import answer_path, file_name

    if args.samples < 1 or (args.samples > 1 and not args.tasks):
        raise UserError("--samples must be at least 1; more only with --tasks")
    if args.completions and not args.tasks:
        raise UserError("--completions: only with --tasks")
    if args.tasks:
        questions = task_questions(read_tasks(args.tasks), args.samples)
    else:
        questions = read_questions(args.questions, args.references)
    if args.completions:
        questions = [continued(question) for question in questions]
    if args.system:
        system = read_text(args.system).strip()
        questions = [replace(question, system=question.system or system) for question in questions]
    folder = Path(args.output) / "answers"
    model = open_model(args, lambda name: folder / f"{file_name(args.label or name)}.journal.jsonl")
    label = args.label or model.label
    path = answer_path(Path(args.output), label)
    with exclusive_lock(folder / f"{file_name(label)}.lock"):
        with model:
            if args.estimate:
                return _print_estimate(model, model.run(estimate_all(model, label, questions, quiet=args.quiet)))
            answers = model.run(answer_all(model, label, questions, quiet=args.quiet))
        write_jsonl(path, (item.to_json() for item in answers))
    failures = [f"question {item.question}: {item.failure}" for item in answers if item.failure]
    print(f"{path}: {len(answers) - len(failures)} of {len(questions)} questions answered by {model.name}")
    return _status(model, failures)


def run_judge(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Write `judgments/<mode>/<judge>.jsonl` for all answers in the folder; status 1 if a verdict is missing."""
    from camelid.models.model_run import sample_cost
    from eval.ask.questions import read_questions
    from eval.folder import file_name, keep_references, read_all_answers, references_path, run_path
    from eval.judging import canary
    from eval.judging.judge import judge_all, plan_requests
    from eval.judging.usable import asked_answers

    if args.audit < 0:
        raise UserError("--audit must be at least 0")
    mode = MODES[args.mode]
    if mode.executed != bool(args.tasks):
        raise UserError(f"--mode {_named(lambda mode: mode.executed)} and --tasks FILE go together")
    if mode.executed:
        return _run_programs(args, mode)
    if args.ranking and mode.ranking is None:
        raise UserError(f"--ranking: only with --mode {_named(lambda mode: mode.ranking is not None)}")
    if args.model == "offline" and mode.paired and mode is not PAIRWISE:
        able = _named(lambda mode: mode is PAIRWISE or not mode.paired)
        raise UserError(f"--model offline: it knows no verdict of this mode; use --mode {able}, or name another judge")
    kept = references_path(Path(args.output))
    questions = read_questions(args.questions, args.references or (kept if kept.is_file() else None))
    answers, notes = asked_answers(questions, read_all_answers(Path(args.output), questions, Path(args.questions)))
    for note in notes:
        print(note)
    if not answers:
        raise UserError(
            f"{args.output}/answers: none there; run `camelid eval answer` first{suggest_path(args.output)}"
        )
    folder = Path(args.output) / "judgments" / args.mode
    model = open_model(args, lambda name: folder / f"{file_name(name)}.journal.jsonl")
    asked = mode.ranked() if args.ranking else mode
    tasks = plan_requests(asked, model.name, questions, answers, args.baseline, args.audit, args.seed)
    with exclusive_lock(folder / f"{file_name(model.name)}.lock"):
        with model:
            if args.estimate:
                requests = {task.request.key(model.name): task.request for task in tasks}  # equal ones are asked once
                return _print_estimate(model, model.run(sample_cost(model, list(requests.values()))))
            if args.references:
                keep_references(Path(args.output), questions)
            judgments = model.run(judge_all(model, tasks, args.quiet))
        path = folder / f"{file_name(model.name)}.jsonl"
        write_jsonl(path, (item.to_json() for item in judgments))
        write_json(run_path(path), model.to_json())
    without = [item for item in judgments if item.scores is None]
    print(f"{path}: {len(judgments) - len(without)} of {len(judgments)} judgments made by {model.name}")
    missing = [item for item in without if item.failure or canary.LABEL not in item.models]
    if len(missing) < len(without):
        unread = len(without) - len(missing)
        print(f"{unread} verdicts on the canary could not be read; the report says what that leaves open")
    failures = [
        f"question {item.question}, turn {item.turn}, {' and '.join(item.models)}: "
        + (item.failure or "the reply holds no verdict")
        for item in missing
    ]
    return _status(model, failures)


def _run_programs(args: argparse.Namespace, mode: Mode) -> int:
    """Judge by running the answers; refuse what asks a model or compares two."""
    from eval.run_programs import judge_programs

    unused = {"--model": args.model != "offline", "--baseline": args.baseline, "--ranking": args.ranking}
    for option in (name for name, given in unused.items() if given):
        raise UserError(f"{option}: --mode {mode.name} asks no model and compares none; leave it out")
    return judge_programs(args, mode)


def run_report(args: argparse.Namespace, _: OpenModel) -> int:
    """Write the three report files; status 1 if an answer or a judgment is missing."""
    from eval.ask.questions import Question, read_questions
    from eval.ask.tasks.read import read_tasks, task_questions
    from eval.folder import read_all_answers, read_costs, read_earlier_tokens, read_folder, references_path
    from eval.numbers.boards import Comparing
    from eval.numbers.contamination import describe_contamination, find_contamination
    from eval.numbers.difficulties import read_difficulties
    from eval.numbers.summarise import summarise
    from eval.report.headline import headline
    from eval.report.markdown import render_markdown
    from eval.report.page import render_page
    from eval.results import Results
    from eval.run_programs import sample_count

    if args.training_data and not args.tasks:
        raise UserError("--training-data: only with --tasks")
    folder = Path(args.output)
    tasks = read_tasks(args.tasks) if args.tasks else []
    if tasks:
        questions = task_questions(tasks, sample_count(read_all_answers(folder, (), Path(args.tasks))))
    else:
        kept = references_path(folder)
        questions = read_questions(args.questions, args.references or (kept if kept.is_file() else None))
    asked = Path(args.tasks or args.questions)
    found = read_folder(folder, questions, args.mode, args.judge, args.baseline, asked)
    questions, answers, judgments = found.questions, found.answers, found.judgments
    dollars = read_costs(folder, judgments)
    known = read_difficulties(args.difficulties, questions) if args.difficulties else None
    comparing = Comparing(args.own, known)

    def summary(some: list[Question]) -> Results:
        """The numbers of the questions, or of some of them."""
        ids = {question.id for question in some}
        said = [answer for answer in answers if answer.question in ids]
        judged = [judgment for judgment in judgments if judgment.question in ids]
        return summarise(args.title, some, said, judged, args.baseline, args.force, dollars, comparing)

    results = summary(questions)
    if args.training_data:
        note = describe_contamination(find_contamination(tasks, args.training_data), questions, summary)
        results = replace(results, notes=(*results.notes, note))
    earlier = read_earlier_tokens(folder, judgments)
    costs = (replace(one, earlier_tokens=earlier.get(one.judge, 0)) for one in results.costs)
    results = replace(results, notes=(*found.notes, *results.notes), costs=tuple(costs))
    write_json(folder / "results.json", results.to_json())
    for name, page in (
        ("report.md", render_markdown(results)),
        ("report.html", render_page(results, questions, answers, judgments)),
    ):
        with atomic_write(folder / name) as file:
            file.write(page)
    for note in found.notes:
        print(note)
    print(headline(results))
    print((folder / "report.html").resolve())
    if results.complete:
        return 0
    print("camelid: some answers or judgments are missing; the report counts them", file=sys.stderr)
    return 1


def run_check(args: argparse.Namespace, _: OpenModel | None) -> int:
    """Write `judgments/correctness/instruction-checks.jsonl` for all answers there are; status 1 if one is missing."""
    from eval.folder import read_all_answers
    from eval.judging.check_answers import JUDGE, check_answers, followed_shares, read_all_instructions
    from eval.judging.modes.correctness import CORRECTNESS

    asked = read_all_instructions(args.questions)
    answers = read_all_answers(Path(args.output))
    if not answers:
        raise UserError(
            f"{args.output}/answers: none there; run `camelid eval answer` first{suggest_path(args.output)}"
        )
    judgments = check_answers(asked, answers)
    path = Path(args.output) / "judgments" / CORRECTNESS.name / f"{JUDGE}.jsonl"
    write_jsonl(path, (item.to_json() for item in judgments))
    models = list(dict.fromkeys(answer.model for answer in answers))
    for model in models:
        found = followed_shares(asked, [answer for answer in answers if answer.model == model])
        strict, loose = (found.prompts, found.instructions), (found.loose_prompts, found.loose_instructions)
        told = [f"{name} {100 * prompts:.1f}% of prompts, {100 * single:.1f}% of instructions"
                for name, (prompts, single) in (("strict", strict), ("loose", loose))]  # fmt: skip
        print(f"{model}: {'; '.join(told)}")
    print(f"{path}: {len(judgments)} of {len(models) * len(asked)} answers checked")
    return 0 if len(judgments) == len(models) * len(asked) else 1


def run_compare(args: argparse.Namespace) -> int:
    """Print the table of two models on several sets, or of two runs; write it as a page."""
    from eval.report.before_after import read_changes, render_changes, render_changes_page, set_change
    from eval.report.question_browser import make_browser
    from eval.report.two_runs import read_two_runs

    folders = [Path(folder) for folder in args.folders]
    before, after, browser, notes = args.before, args.after, None, list[str]()
    if args.questions:
        runs = read_two_runs(args.questions, folders, before, after)
        before, after, notes = runs.before, runs.after, runs.notes
        found = set_change(runs.name, runs.results, before, after)
        if found is None:
            raise UserError(f"{args.questions}: no question has a verdict on both {before} and {after}")
        changes = [found]
        if args.output:
            browser = make_browser(runs.results, runs.questions, runs.answers, runs.judgments, (before, after))
    elif before is None or after is None:
        raise UserError("--before, --after: name the two models (or two runs' --questions)")
    else:
        changes = read_changes(folders, before, after)
    for note in notes:
        print(note)
    print(render_changes(changes, before, after), end="")
    if args.output:
        with atomic_write(Path(args.output)) as file:
            file.write(render_changes_page(changes, before, after, browser, notes))
        print(Path(args.output).resolve())
    return 0


def run_difficulties(args: argparse.Namespace) -> int:
    """Write `difficulties.json` beside the annotations it was fitted to."""
    from eval.numbers.difficulties import FILE, fit_difficulties, read_annotations, write_difficulties

    folder = Path(args.folder)
    comparisons, others = read_annotations(folder, args.judge)
    fitted = fit_difficulties(comparisons)
    models = {row.model for row in comparisons}
    path = Path(args.output) if args.output else folder / FILE
    write_difficulties(path, fitted, models)
    if others:
        names = [str(one.relative_to(folder)) for one in others]
        print(f"{len(names)} files hold no annotations: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
    made = f"difficulties of {len(fitted.log_odds):,} questions"
    print(f"{path}: {made}, from {len(comparisons):,} annotations of {len(models)} models")
    return 0


def _print_estimate(model: ModelRun, estimate: CostEstimate) -> int:
    print(model.summary())
    print(estimate)
    return 0 if estimate.whole is not None else 1


def _status(model: ModelRun, failures: list[str]) -> int:
    print(model.summary())
    for line in failures[:5]:
        print(f"camelid: {line}", file=sys.stderr)
    if len(failures) > 5:
        print(f"camelid: and {len(failures) - 5} more", file=sys.stderr)
    return 1 if failures else 0
