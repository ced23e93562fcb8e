"""What scores conversations and lies beyond their room: a local model's losses, embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from camelid.errors import UserError
from camelid.files.paths import suggest_path
from conversations.score_command import ModelOpeners

if TYPE_CHECKING:
    from conversations.scores.difficulty import LossModel
    from conversations.scores.unlike import Embed, Vectors


def open_losses(folder: str) -> "LossModel":
    """A model folder whose losses are asked for.

    Raises:
        UserError: it is none, or has no chat template.
    """
    if not (Path(folder) / "config.json").is_file():
        raise UserError(f"--loss-model {folder}: no model folder (it has no config.json){suggest_path(folder)}")
    from finetune.engine.answer_losses import open_answer_losses

    return open_answer_losses(Path(folder))


def open_embedder(name: str) -> "Embed":
    """A model of sentence-transformers.

    Raises:
        UserError: the package is not installed, or there is no such model.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UserError(f"--unlike needs sentence-transformers ({error}); pip install 'camelid[embed]'") from None
    try:
        model = SentenceTransformer(name)
    except (OSError, ValueError) as error:
        raise UserError(f"--embedder {name}: {str(error).splitlines()[0]}") from None

    def embed(texts: "Sequence[str]") -> "Vectors":
        vectors: Vectors = model.encode(texts, show_progress_bar=False, convert_to_numpy=True).astype("float32")
        return vectors

    return embed


MODEL_OPENERS = ModelOpeners(open_losses, open_embedder)
