"""A sample is chosen by the ids alone, and branches of a tree go together."""

from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from conversations.cleaning.sampling import Sample, is_in_sample


def talk(question: str, answer: str = "yes", name: str = "c") -> Conversation:
    return Conversation(name, (Message("user", question), Message("assistant", answer)))


def test_sampling_depends_on_the_id_alone() -> None:
    talks = [talk("hi", name=f"id{number}") for number in range(4000)]
    first = {one.id for one in talks if is_in_sample(one, 0.25, "test 0")}
    assert 900 < len(first) < 1100
    assert first == {one.id for one in reversed(talks) if is_in_sample(one, 0.25, "test 0")}
    assert first < {one.id for one in talks if is_in_sample(one, 0.5, "test 0")}
    assert first != {one.id for one in talks if is_in_sample(one, 0.25, "test 1")}
    sample, turns = Sample(0.5), Ledger("turns")
    assert {sample(one, turns) if isinstance(sample(one, turns), str) else "" for one in talks} == {
        "",
        "not in the sample",
    }


def test_branches_of_a_tree_stay_together() -> None:
    for number in range(50):
        branches = [Conversation(f"t{number}/{branch}", (), {"tree": f"t{number}"}) for branch in range(3)]
        assert len({is_in_sample(branch, 0.5, "test 0") for branch in branches}) == 1
