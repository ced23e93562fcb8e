"""Evol's own prompts are what they were before they were a file."""

import hashlib

from selfinstruct.methods.evol_prompts import read_evol_prompts


def test_ours_are_asked_as_before_they_were_a_file() -> None:
    """Else what an earlier version paid for would be bought again. The hash is of the texts in the code then."""
    prompts = read_evol_prompts()
    texts = [prompts.ask_evolved(name, "Add {task}.") for name in prompts.operators]
    texts.append(prompts.ask_equal("Add {second}.", "Add {first}."))
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == "497c08bfe0af1ad0"
