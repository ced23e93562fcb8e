"""kept + dropped = read."""

from camelid.files.ledger import Ledger


def test_sum_summary_and_round_trip() -> None:
    ledger = Ledger("records")
    ledger.keep(3)
    ledger.drop("empty", 2)
    ledger.drop("too long")
    ledger.repair("trimmed")
    assert ledger.read == 6
    assert ledger.summary() == "read 6 records: kept 3, dropped 3 (empty 2, too long 1); repaired: trimmed 1"
    again = Ledger.from_json(ledger.to_json())
    assert again == ledger
    again.add(ledger)
    assert (again.read, again.dropped["empty"], again.repaired["trimmed"]) == (12, 4, 2)
