"""A chat in the terminal."""

import secrets
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import TextIO

from camelid.errors import UserError
from camelid.files.write import AppendLog
from camelid.message import Conversation, Message
from camelid.terminal import printable, read_any_bytes
from finetune.generate.sampling import Sampling
from finetune.generate.text_stream import TrimmedText
from finetune.serve.one_answer import write_answer
from finetune.serve.served import ServedModel

HELP = """\
/system TEXT  set the system message (without TEXT: remove it) and begin anew
/reset        begin anew
/save FILE    append the chat to a file, one line, as `camelid conversations` and `camelid finetune` read it
/help         this
/exit, /quit  end the chat
Ctrl-C stops an answer, Ctrl-D ends the chat."""
ENDINGS = ("/exit", "/quit")


class Terminal:
    """One chat.

    Args:
        served: the model.
        sampling: of all answers.
        system: the system message, if any.
        seed: of the first answer; the next one takes the next number. None draws it.
        read: asks for a line; raises EOFError at the end.
        out: where answers go; None for the standard output of the moment.

    Raises:
        UserError: the model takes no chats.
    """

    def __init__(
        self,
        served: ServedModel,
        sampling: Sampling,
        system: str | None = None,
        seed: int | None = None,
        read: Callable[[str], str] = input,
        out: TextIO | None = None,
    ) -> None:
        if isinstance(served.encoder, UserError):
            raise served.encoder
        self._encoder = served.encoder
        self._served, self._sampling, self._system = served, sampling, system
        self._seed = secrets.randbits(62) if seed is None else seed
        self._read, self._out = read, out or sys.stdout
        self._turns: list[Message] = []

    def run(self) -> int:
        """Read lines until the end of input."""
        read_any_bytes(sys.stdin)
        if sys.stdin.isatty():
            import readline  # noqa: F401  (arrow keys and history for input())
        self._say(f"{self._served.name}; /help for commands\n")
        while True:
            try:
                line = self._read("> ").strip()
            except EOFError:
                self._say("\n")
                return 0
            except KeyboardInterrupt:
                self._say("\n")
                continue
            if line in ENDINGS:
                return 0
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._answer(line)

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if name == "/system":
            self._system = rest.strip() or None
            self._turns = []
            self._say("a new chat, " + ("with this system message\n" if self._system else "without a system message\n"))
        elif name == "/reset":
            self._turns = []
            self._say("a new chat\n")
        elif name == "/save" and rest.strip():
            self._save(rest.strip())
        else:
            self._say(HELP + "\n" if name == "/help" else f"unknown command; {HELP}\n")

    def _answer(self, line: str) -> None:
        """Stream the answer; if it can't be given, the line is forgotten."""
        self._turns.append(Message("user", line))
        said: list[str] = []
        try:
            for piece in self._pieces():
                self._say(piece)
                said.append(piece)
        except KeyboardInterrupt:  # what there is by now is the answer
            pass
        except UserError as error:
            self._turns.pop()
            self._say(f"{error}\n")
            return
        self._say("\n")
        self._turns.append(Message("assistant", "".join(said)))

    def _pieces(self) -> Iterator[str]:
        prompt = self._encoder.encode_prompt(self._messages())
        trimmed, seed = TrimmedText(), self._seed
        self._seed += 1
        for text in write_answer(self._served, prompt, seed, self._sampling, "begin anew with /reset"):
            yield trimmed.add(text)

    def _save(self, path: str) -> None:
        if not self._turns:
            self._say("nothing to save yet\n")
            return
        chat = Conversation(f"chat-{uuid.uuid4().hex[:12]}", tuple(self._messages()), {"model": self._served.name})
        try:
            with AppendLog(path) as log:
                log.append(chat.to_json())
        except OSError as error:
            self._say(f"{path}: {error.strerror}\n")
            return
        self._say(f"{path}: {len(self._turns)} turns\n")

    def _messages(self) -> list[Message]:
        system = [] if self._system is None else [Message("system", self._system)]
        return [*system, *self._turns]

    def _say(self, text: str) -> None:
        self._out.write(printable(text))
        self._out.flush()
