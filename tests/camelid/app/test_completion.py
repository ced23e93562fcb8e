"""The scripts of `camelid completion`, each in its real shell; zsh and fish where they are installed."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from camelid.app.cli import main
from eval.judging.modes.table import MODES

ASK = """
source {script}
cd {folder}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
[[ $COMP_LINE == *" " ]] && {{ COMP_WORDS+=(""); COMP_CWORD=$((COMP_CWORD + 1)); }}
$(complete -p camelid | sed 's/.*-F \\([^ ]*\\).*/\\1/') camelid "${{COMP_WORDS[COMP_CWORD]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "camelid.bash"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("camelid conv", {"conversations"}),
        ("camelid eval ", {"answer", "check", "compare", "difficulties", "judge", "preferences", "report"}),
        ("camelid eval judge --mode ", set(MODES)),
        ("camelid selfinstruct generate --max", {"--max-cost", "--max-requests", "--max-tokens"}),
        ("camelid finetune my-rec", {"my-recipe.yaml"}),
        ("camelid finetune my-recipe.yaml --launch my-", {"my-recipe.yaml"}),
        ("camelid eval answer --output my-", {"my-folder"}),  # a folder, so no file
        ("camelid completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes(words: str, expected: set[str], script: Path, tmp_path: Path) -> None:
    (tmp_path / "my-recipe.yaml").touch()
    (tmp_path / "my-folder").mkdir()
    if "finetune" in words:
        (tmp_path / "my-folder").rmdir()
    program = ASK.format(script=script, folder=tmp_path, words=words)
    result = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=False)
    assert {line.strip().rstrip("/") for line in result.stdout.splitlines()} - {"-h", "--help"} == expected, result


VERBS = [
    (
        "camelid ",
        {
            "chat",
            "completion",
            "conversations",
            "demo",
            "doctor",
            "eval",
            "finetune",
            "selfinstruct",
            "serve",
            "weights",
        },
    ),
    ("camelid conversations ", {"audit", "convert", "show", "split", "stats"}),
    ("camelid eval judge --mode ", set(MODES)),
    ("camelid finetune my-rec", {"my-recipe.yaml"}),
]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
@pytest.mark.parametrize(("words", "expected"), VERBS)
def test_fish_completes(words: str, expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    (tmp_path / "camelid.fish").write_text(capsys.readouterr().out)
    (tmp_path / "my-recipe.yaml").touch()
    program = f"source camelid.fish; complete -C '{words}'"
    result = subprocess.run(["fish", "--no-config", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} == expected, result


# Completes once, as if the words had been typed, writes the matches down instead of showing them, and exits.
ZSHRC = """
fpath=($ZDOTDIR $fpath)
autoload -Uz compinit && compinit -uD
compadd() {
  [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]] && { builtin compadd "$@"; return }
  local -a matches; builtin compadd -O matches "$@"; print -l -- $matches >> $ZDOTDIR/matches
}
complete-once() { BUFFER=$WORDS; CURSOR=$#BUFFER; zle complete-word; BUFFER=exit; zle accept-line }
zle -N zle-line-init complete-once
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
@pytest.mark.parametrize(("words", "expected"), VERBS)
def test_zsh_completes(words: str, expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    (tmp_path / "_camelid").write_text(capsys.readouterr().out)
    (tmp_path / ".zshrc").write_text(ZSHRC)
    (tmp_path / "my-recipe.yaml").touch()
    keyboard, terminal = pty.openpty()
    environment = {**os.environ, "ZDOTDIR": str(tmp_path), "WORDS": words, "TERM": "dumb"}
    try:
        subprocess.run(
            ["zsh", "-i"], cwd=tmp_path, env=environment, stdin=terminal, stdout=terminal, stderr=terminal,
            timeout=20, start_new_session=True, check=True,
        )  # fmt: skip
    finally:
        os.close(terminal)
        os.close(keyboard)
    assert set((tmp_path / "matches").read_text().split()) == expected
