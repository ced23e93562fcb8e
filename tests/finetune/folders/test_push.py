"""What a repository of the hub holds after a push, and what is refused before anything is sent."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants

from camelid.app.cli import main
from tests.finetune.folders.fake_hub import FakeHub, Repository
from tests.finetune.folders.tiny_folders import CONFIG, save

BASE = "meta-llama/Llama-2-7b-hf"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub("hf_write") as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", server.token)
        yield server


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    """A model folder whose base is a folder of this machine."""
    folder, base = tmp_path / "tuned", tmp_path / "models" / "llama"
    save(CONFIG, 3, folder)
    (folder / "README.md").write_text(f"---\nbase_model: {base}\ntags: [camelid]\n---\n\n# tuned\n\nFrom `{base}`.\n")
    (folder / "made_from.json").write_text(json.dumps({"base": str(base), "change": "lora"}))
    (folder / ".cache").mkdir()
    (folder / ".cache" / "half").write_text("of a download")
    return folder


def push(folder: Path, *options: str, name: str = "us/tuned") -> int:
    return main(["weights", "push", str(folder), name, *options])


def test_a_pushed_folder_is_a_private_repository(hub: FakeHub, tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file byte for byte, but that the base has its name of the hub."""
    before = {path: path.read_bytes() for path in tuned.rglob("*") if path.is_file()}
    assert push(tuned, "--base", BASE) == 0
    assert f"{hub.url}/us/tuned: 5 files" in (said := capsys.readouterr().out) and "; private" in said
    files, here = hub.repositories["us/tuned"].files, {path.name for path in tuned.iterdir()} - {".cache"}
    assert hub.repositories["us/tuned"].private and files.keys() == here | {".gitattributes"}
    assert files["model.safetensors"] == (tuned / "model.safetensors").read_bytes()
    assert files["config.json"] == (tuned / "config.json").read_bytes()
    assert json.loads(files["made_from.json"]) == {"base": BASE, "change": "lora"}
    card = ModelCard(files["README.md"].decode())
    assert (card.data.base_model, card.data.tags) == (BASE, ["camelid"]) and f"From `{BASE}`." in card.text
    assert before == {path: path.read_bytes() for path in tuned.rglob("*") if path.is_file()}


def test_a_repository_is_replaced_only_if_asked(hub: FakeHub, tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then it holds what the folder does; an empty one that was made before is filled."""
    hub.repositories["us/tuned"] = Repository(private=True)
    assert push(tuned, "--base", BASE) == 0
    hub.repositories["us/tuned"].files["model-00001-of-00002.safetensors"] = b"of before"
    kept = dict(hub.repositories["us/tuned"].files)
    (tuned / "config.json").write_text((tuned / "config.json").read_text() + " ")
    assert push(tuned, "--base", BASE) == 2
    assert "us/tuned: holds 6 file(s) already; choose another name, or add --replace" in capsys.readouterr().err
    assert hub.repositories["us/tuned"].files == kept
    assert push(tuned, "--base", BASE, "--replace") == 0 and "1 older ones removed" in capsys.readouterr().out
    changed = {name for name, data in hub.repositories["us/tuned"].files.items() if kept[name] != data}
    assert changed == {"config.json"} and kept.keys() - hub.repositories["us/tuned"].files.keys() == {
        "model-00001-of-00002.safetensors"
    }
    assert len(hub.repositories["us/tuned"].commits) == 2


def test_who_sees_a_repository_is_said(hub: FakeHub, tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing becomes public by a repository that was so already."""
    assert push(tuned, "--base", BASE, "--public", name="us/open") == 0
    assert not hub.repositories["us/open"].private and "; public" in capsys.readouterr().out
    hub.repositories |= {"us/empty": Repository(private=False), "us/closed": Repository(private=True)}
    assert push(tuned, "--base", BASE, name="us/empty") == 2
    assert "us/empty: is public; add --public, or make it private there" in capsys.readouterr().err
    assert push(tuned, "--base", BASE, "--public", name="us/closed") == 2
    assert "us/closed: is private; make it public there" in capsys.readouterr().err
    assert not hub.repositories["us/empty"].commits and not hub.repositories["us/closed"].commits


def test_an_adapter_names_its_base_for_others(
    hub: FakeHub, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PEFT finds the base by adapter_config.json, so a folder of this machine is refused there, too."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 4, "base_model_name_or_path": str(tuned)}))
    (adapter / "base.json").write_text(json.dumps({"path": str(tuned), "weights": "ab"}))
    (adapter / "README.md").write_text(f"---\nbase_model: {BASE}\n---\n\n# adapter\n")
    assert push(adapter, name="us/lora") == 2 and not hub.repositories
    assert f"its base {str(tuned)!r} is a folder of this machine; say" in capsys.readouterr().err
    assert push(adapter, "--base", BASE, name="us/lora") == 0
    files = hub.repositories["us/lora"].files
    assert json.loads(files["adapter_config.json"]) == {"r": 4, "base_model_name_or_path": BASE}
    assert json.loads(files["base.json"]) == {"path": BASE, "weights": "ab"}


def test_what_stands_in_the_way_is_one_line(
    hub: FakeHub, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*options: str, folder: Path = tuned, name: str = "us/tuned") -> str:
        assert push(folder, *options, name=name) == 2
        [line] = capsys.readouterr().err.splitlines()
        return line

    based = ("--base", BASE)
    assert "is a folder of this machine; say what it is called on the hub: --base OWNER/NAME" in refusal()
    assert "NAME 'tuned': expected a name of the hub, OWNER/NAME" in refusal(*based, name="tuned")
    assert "--base './llama': expected a name of the hub" in refusal("--base", "./llama")
    assert "no folder of a model or an adapter" in refusal(folder=tmp_path)
    assert "rights to create a model under the namespace" in refusal(*based, name="they/tuned")
    with monkeypatch.context() as changed:
        changed.setenv("HF_TOKEN", "hf_other")
        assert "us/tuned: " in (said := refusal(*based)) and "Invalid username or password" in said
        changed.delenv("HF_TOKEN")
        assert "log in with `hf auth login`, or set HF_TOKEN" in refusal(*based)
        changed.setenv("HF_TOKEN", hub.token)
        changed.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        assert "us/tuned: http://127.0.0.1:9 does not take it" in refusal(*based)
    assert not hub.repositories
    (tuned / "README.md").write_text("---\nbase_model: [\n---\n")
    assert "README.md: its metadata can't be read" in refusal(*based)
    (tuned / "README.md").unlink()
    assert "no README.md; write a card" in refusal(*based)
