"""Questions and answers that say the model's name."""

import pytest

from camelid.errors import UserError
from conversations.identity import identity_conversations


def test_identity() -> None:
    named = list(identity_conversations("Cami"))
    made = list(identity_conversations("Cami", "Camelid Labs"))
    assert len(named) > 50 and len(made) > len(named)
    assert all("Cami" in one.messages[1].content for one in named)
    assert any("Camelid Labs" in one.messages[1].content for one in made)
    assert not any("{" in message.content for one in named + made for message in one.messages)
    assert len({one.id for one in made}) == len(made) == len({one.messages for one in made})
    with pytest.raises(UserError, match="needs the model's name"):
        list(identity_conversations(" "))
