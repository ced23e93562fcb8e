"""The classic prompt ends where the model goes on; requests depend on seed and number alone."""

from selfinstruct.methods.prompt import alpaca_requests, text_prompt, text_request
from selfinstruct.seeds import Task, read_seeds


def test_the_prompt_ends_where_the_model_goes_on() -> None:
    text = text_prompt([Task("Add\nthem:", "1, 2", "3"), Task("Say hi.", "", "Hi"), Task("c d", "", "e")])
    assert text.endswith(
        "\n###\n1. Instruction: Add them\n1. Input:\n1, 2\n1. Output:\n3"
        "\n###\n2. Instruction: Say hi.\n2. Input:\n<noinput>\n2. Output:\nHi"
        "\n###\n3. Instruction: c d\n3. Input:\n<noinput>\n3. Output:\ne\n###\n4. Instruction:"
    )
    assert "{count}" not in text and "list of 20 " in text


def test_requests_depend_on_the_seed_and_their_number_alone() -> None:
    seeds = read_seeds()

    def first(seed: int) -> list[str]:
        return [
            request.key("m") for request, _ in zip(alpaca_requests(seeds, seed, text_request), range(30), strict=False)
        ]

    assert first(0) == first(0) != first(1)
    assert len(set(first(0))) == 30
