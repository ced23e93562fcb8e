"""MBPP (Austin et al. 2021; github.com/google-research/google-research, mbpp): a sentence and three assertions.

`mbpp.jsonl` has the task in `text`, `sanitized-mbpp.json` in `prompt`; MBPP+ has a whole program in `test` besides.
"""

from camelid.files.read import Record
from conversations.questions.fields import texts_at
from eval.ask.code_task import CodeTask
from eval.ask.tasks.format import TaskFormat, text_field

_ASK = "{text}\n\nYour Python code should pass these tests:\n\n```python\n{tests}\n```\n\nAnswer with one code block."


def _read(record: Record, place: str) -> CodeTask:
    text = text_field(record, "text" if "text" in record else "prompt", place).strip()
    tests = texts_at(record["test_list"], "test_list", place)
    setup = [
        text_field(record, "test_setup_code", place, ""),
        *texts_at(record.get("test_imports", []), "test_imports", place),
    ]
    test = text_field(record, "test", place, "\n".join((*filter(None, setup), *tests)))
    return CodeTask(
        id=str(record["task_id"]),
        ask=_ASK.format(text=text, tests="\n".join(tests)),
        text=text,
        before="",
        after="",
        test=test,
        reference=text_field(record, "code", place, "").replace("\r\n", "\n"),
    )


MBPP = TaskFormat("MBPP", frozenset({"task_id", "test_list"}), _read)
