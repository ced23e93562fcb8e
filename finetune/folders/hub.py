"""Models that are on the Hugging Face hub and not here yet."""

import re

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name


def suggest_download(path: str) -> str:
    """`"; if it is a model on the hub, download it first: ..."` for what may be one's name, else empty."""
    if not HUB_NAME.fullmatch(path):
        return ""
    folder = f"models/{path.rpartition('/')[2]}"
    return (
        f"; if it is a model on the hub, download it first: hf download {path} --local-dir {folder}, "
        f"then model.path={folder}"
    )
