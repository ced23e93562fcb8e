"""What models leave in the fields of a task that does not belong there: other tasks, excuses, words for nothing."""

import re

from selfinstruct.seeds import Task

_WANTED = r"(?:needed|required|necessary|provided|given|available|applicable|specified)"
# In any case, with any brackets or marks around them. `Na` may be sodium.
_NO_INPUT = re.compile(
    rf"""\W*(?:
    no\ ?(?:additional\ |further\ |extra\ |specific\ |other\ )?(?:inputs?|context)(?:\ (?:is\ |was\ )?{_WANTED})?
    |inputs?\ (?:is\ )?not\ {_WANTED}|not\ {_WANTED}|none(?:\ {_WANTED})?|n/a|n\.\ ?a\.|(?-i:NA)
    |keine\ eingabe|aucune\ entrée|sin\ entrada|无输入|无|没有输入|無輸入|入力なし
    )\W*
    |[<(\[{{]\s*(?:empty|null|nil|blank|nothing)\s*[>)\]}}]""",
    re.IGNORECASE | re.VERBOSE,
)
_NO_OUTPUT = re.compile(r"\W*(no ?output|none|n/?a|output|null)\W*", re.IGNORECASE)
# The heading of another task. `Output:` alone follows code, `1. Input:` begins many a list.
_NEXT_TASK = re.compile(
    r"^\s*(?:#+ *)?(?:\*\*)?(?:(?:new|next) )?(?:task *)?\d* *[.):]? *instruction *\d* *:", re.MULTILINE | re.IGNORECASE
)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_DANGLING = re.compile(r"\n[ \t]*(?:\d+[.)]|[-*•])\s*\Z")
_MEDIA = "(?:image|picture|photo|photograph|painting|drawing|screenshot|video|audio|recording|chart|graph|file)s?"
_ATTACHED = re.compile(
    rf"""\S+\.(?:jpe?g|png|gif|bmp|webp|svg|tiff?|mp3|mp4|wav|avi|mov|pdf|docx?)
    |!\[[^\]]*\](?:\([^)]*\))?
    |[<(\[{{]\s*(?:(?:attached|insert|uploaded|an?|the|see|your)\ +)*{_MEDIA}\b[^>)\]}}]{{0,80}}[>)\]}}]
    |(?:please\ )?(?:see|find)?\ *(?:the\ |an?\ )?(?:attached|uploaded|enclosed)\ {_MEDIA}\b.{{0,60}}
    |(?:an?\ |the\ )?{_MEDIA}\b.{{0,60}}\b(?:attached|uploaded|enclosed|not\ shown)\W*""",
    re.IGNORECASE | re.VERBOSE,
)
_SORRY = r"(?:(?:i'm|i\ am)\ )?(?:(?:very|really|so)\ )?(?:sorry|afraid|unfortunately|apologies),?\ (?:but\ )?"
_CANNOT = r"(?:cannot|can't|(?:am\ |'m\ )?(?:unable|not\ (?:able|capable))|(?:do\ not|don't)\ (?:have|possess))"
_TASK = "(?:answer|assist|browse|create|determine|display|estimate|generate|help|open|provide|retrieve|see|view)"
_REFUSAL = re.compile(
    rf"""(?=.{{0,160}}\b(?:as\ an\ ai|i'm\ an\ ai|i\ am\ an\ ai|ai\ language\ model)\b).{{0,300}}?\b{_CANNOT}\b
    |{_SORRY}i\ ?{_CANNOT}\ (?:to\ )?(?:{_TASK}|access)\b
    |{_SORRY}you\ (?:didn't|did\ not|haven't|need\ to)\ (?:provide|specify|include|give)
    |{_SORRY}(?:the|your|this)\ (?:data|input|information)\b.{{0,40}}(?:isn't|is\ not)\ enough""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


def without_no_input(text: str) -> str:
    """The input, or nothing where a model says in one of many ways that there is none."""
    return "" if _NO_INPUT.fullmatch(text.strip()) else text


def says_no_output(output: str) -> bool:
    """Whether the output is a word for nothing."""
    return bool(_NO_OUTPUT.fullmatch(output))


def holds_next_task(task: Task) -> bool:
    """Whether another task's heading stands in a field, outside code, and the task is not about instructions."""
    texts = (_FENCED.sub(" ", text) for text in (task.output, task.input))
    return "instruction" not in task.instruction.lower() and any(map(_NEXT_TASK.search, texts))


def needs_attachment(task: Task) -> bool:
    """Whether all that the task is given is the name of a picture or file that nobody sees."""
    return bool(_ATTACHED.fullmatch(task.input.strip()))


def is_cut_off(output: str) -> bool:
    """Whether the output ends within a block of code, or in the mark of an item that never came."""
    return output.count("```") % 2 == 1 or bool(_DANGLING.search(output))


def is_refusal(output: str) -> bool:
    """Whether the output is an assistant's excuse for not doing the task."""
    return bool(_REFUSAL.match(output.lstrip().replace("\u2019", "'")))
