"""The files that come with Camelid, for a bare name that was nearly theirs."""

from camelid.errors import UserError
from camelid.files.paths import MissingFileError, suggest_path

SHIPPED = ("recipes", "recipes/models", "recipes/code", "recipes/toy", "recipes/launch", "eval/data")


def suggest_shipped(error: UserError) -> str:
    """`"; did you mean 'recipes/x.yaml'?"` for a missing file of which nothing else was suggested; else empty."""
    if isinstance(error, MissingFileError) and not error.near:
        return suggest_path(error.path, SHIPPED)
    return ""
