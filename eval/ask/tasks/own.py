"""Tasks of one's own: an instruction with its test, as `camelid selfinstruct generate --method code` writes them."""

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.sandbox.code_blocks import find_code
from camelid.sandbox.languages import LANGUAGES
from eval.ask.code_task import CodeTask
from eval.ask.tasks.format import TaskFormat, text_field


def _read(record: Record, place: str) -> CodeTask:
    language = text_field(record, "language", place, "python")
    if language not in LANGUAGES:
        raise UserError(f"{place}: field 'language' must be one of {', '.join(LANGUAGES)}, found {language!r}")
    given = (text_field(record, "instruction", place), text_field(record, "input", place, ""))
    output = text_field(record, "output", place, "")
    code = find_code(output, LANGUAGES[language]().fences)
    asked = "\n\n".join(filter(None, given))
    return CodeTask(
        id=str(record.get("id", place.rsplit("/", 1)[-1])),
        ask=asked,
        text=asked,
        before="",
        after="",
        test=text_field(record, "test", place),
        entry_point=text_field(record, "entry_point", place, ""),
        reference=output if code is None else code,
        language=language,
    )


OWN = TaskFormat("instructions with tests", frozenset({"instruction", "test"}), _read)
