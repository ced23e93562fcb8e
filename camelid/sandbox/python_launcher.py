"""Runs inside the sandbox: a Python program with its tests, and after its last line the proof that it got there.

Standard input holds 20 digits, the program of so many bytes, and a nonce. The nonce stays unread, in no frame and no
object of the interpreter, until the program has ended; then the CPU seconds it took are written, and in a line of its
own the nonce, backwards. Arguments are folders of packages.
"""

import builtins
import os
import sys
import time

DIGITS = 20
NONCE = 32  # characters
SHOWN = 300  # characters of an exception


def main() -> None:
    """Run the program on standard input."""
    read, write, leave, clock = os.read, os.write, os._exit, time.process_time  # a program may replace them
    size, source = int(read(0, DIGITS)), b""
    while len(source) < size:
        source += read(0, size - len(source))
    ticket, out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    sys.path += sys.argv[1:]
    sys.argv = ["program"]
    program = type(sys)("program")
    program.__dict__["__builtins__"] = builtins
    sys.modules["program"] = program
    try:
        exec(compile(source, "<program>", "exec"), program.__dict__)
    except BaseException as error:
        write(out, describe(error, source.decode()).encode("utf-8", "replace"))
        leave(1)
    write(out, f"{clock():.6f}\n".encode() + read(ticket, NONCE)[::-1])
    leave(0)


def describe(error: BaseException, source: str) -> str:
    """An exception in one line, with the line of the program that raised it."""
    try:
        said = " ".join(str(error).split())[:SHOWN]
    except BaseException:  # a program's own exception may not even say what it is
        said = ""
    number, step = error.lineno if isinstance(error, SyntaxError) else None, error.__traceback__
    while step:
        if step.tb_frame.f_code.co_filename == "<program>":
            number = step.tb_lineno
        step = step.tb_next
    lines = source.splitlines()
    where = f" (line {number}: {lines[number - 1].strip()[:SHOWN]})" if number and number <= len(lines) else ""
    return f"{type(error).__name__}{': ' * bool(said)}{said}{where}"


if __name__ == "__main__":
    main()
