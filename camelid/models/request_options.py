"""What a user sets of every request a model is asked: the same options in every command."""

import argparse
import math
from dataclasses import dataclass, replace

from camelid.errors import UserError
from camelid.models.llm import Request


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What takes the place of what a command asks with; None leaves that as it is.

    Attributes:
        temperature: sampling temperature, 0 = greedy.
        max_tokens: most new tokens of a reply, its thinking included.
        reasoning_effort: how long a reasoning model thinks, in the provider's words (`low`, `medium`, `high`).
    """

    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None

    def apply(self, request: Request) -> Request:
        """The request as it is asked; the same one if nothing is set."""
        if self == UNSET:
            return request
        effort = {"reasoning_effort": self.reasoning_effort} if self.reasoning_effort else {}
        return replace(
            request,
            temperature=request.temperature if self.temperature is None else self.temperature,
            max_tokens=self.max_tokens or request.max_tokens,
            extra={**request.extra, **effort},
        )


UNSET = RequestOptions()


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--temperature", type=float, metavar="T", help="of every request (default: the command's own)")
    parser.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="most tokens of a reply, thinking included (default: the command's own)",
    )
    parser.add_argument(
        "--reasoning-effort", metavar="LEVEL", help="how long a reasoning model thinks, such as low, medium or high"
    )


def read_request_options(args: argparse.Namespace) -> RequestOptions:
    """The options that were given.

    Raises:
        UserError: a value is none.
    """
    if args.temperature is not None and not (math.isfinite(args.temperature) and args.temperature >= 0):
        raise UserError("--temperature must be at least 0")
    if args.max_tokens is not None and args.max_tokens < 1:
        raise UserError("--max-tokens must be at least 1")
    return RequestOptions(args.temperature, args.max_tokens, args.reasoning_effort)
