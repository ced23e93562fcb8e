"""What reaches a terminal: no control byte of a file or a model, and at 80 columns what counts."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from camelid.progress import Progress
from camelid.terminal import printable

EVIL = "\x1b]0;owned\x07\x1b[2Ja\x9b31m\x08\x7f\u202etxt\r"
SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # rich's own: colours, the cursor


def on_terminal(*command: str, columns: int = 80) -> str:
    """What a command writes to a terminal of that width."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *command], stdin=slave, stdout=slave, stderr=slave, env={**environment, "TERM": "xterm"}
    )
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other side has closed
            break
        if not part:
            break
        parts.append(part)
    process.wait()
    os.close(master)
    return b"".join(parts).decode()


def test_control_characters_are_written_out() -> None:
    assert printable("tab\tline\r\nübung 🐪") == "tab\tline\nübung 🐪"
    assert printable(EVIL) == r"\x1b]0;owned\x07\x1b[2Ja\x9b31m\x08\x7f\u202etxt\x0d"


def test_an_error_that_quotes_a_file_does_not_drive_the_terminal(tmp_path: Path) -> None:
    shown = on_terminal(
        "-m", "camelid.app.cli", "conversations", "convert", f"no{EVIL}", "--output", str(tmp_path / "x")
    )
    shown = shown[shown.index("camelid: error") :]  # before it stands a bar
    assert "owned" in shown and not re.findall(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", shown)


@pytest.mark.parametrize(("label", "columns"), [("answer (a-very-long-label-of-a-model)", 80), ("train", 50)])
def test_progress_shows_bar_count_rate_and_times_and_cuts_the_facts(label: str, columns: int) -> None:
    facts = "loss 2.313 | 1,204 tok/s (900 trained) | 3.2 GB | MFU 38% \x1b[31m| USD 0.12 of 5.00, 12 failed"
    code = (
        "import time; from camelid.progress import Progress\n"
        f"with Progress({label!r}, 1200) as bar:\n"
        f"    for done in (300, 600):\n        time.sleep(0.2); bar.update(done, {facts!r})\n"
        "    time.sleep(0.2)"
    )
    shown = on_terminal("-c", code, columns=columns)
    assert "\x1b[31m" not in shown
    frames = [line for line in re.split(r"[\r\n]+", SEQUENCES.sub("", shown)) if "600/1200" in line]
    assert frames
    for frame in frames:
        assert len(frame.rstrip()) <= columns and label[:5] in frame
        assert re.search(r"600/1200 [\d,.]+(/s| s each) \d+:\d\d ETA \d+:\d\d", frame)
        assert "━━━" in frame or columns < 80
        assert (frame.rstrip().endswith("…") and "loss" in frame) or columns < 80


def test_progress_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 10) as bar:
        bar.update(10, "loss 2\x1b[31m")
    assert capsys.readouterr().err == "train 10/10 | loss 2\\x1b[31m | 0 s\n"
