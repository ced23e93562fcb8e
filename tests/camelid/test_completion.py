"""The scripts of `camelid completion`: bash's in a real bash; the others read by their shell, where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from camelid.cli import main

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
        ("camelid eval ", {"answer", "judge", "report"}),
        ("camelid eval judge --mode ", {"single", "pairwise", "vicuna", "alpaca"}),
        ("camelid selfinstruct generate --max", {"--max-cost", "--max-requests"}),
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


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "selfinstruct" in text and "--max-cost" in text.replace("-l ", "--")
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "script").write_text(text)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)
