"""kept + dropped = read."""

from camelid.files.ledger import Ledger


def test_sum_summary_and_round_trip() -> None:
    ledger = Ledger("records")
    ledger.keep(3)
    ledger.drop("empty", 2)
    ledger.drop("too long")
    ledger.repair("trimmed")
    ledger.note("very long")
    assert ledger.read == 6
    kept = "repaired: trimmed 1; kept all the same: very long 1"
    assert ledger.summary() == f"read 6 records: kept 3, dropped 3 (empty 2, too long 1); {kept}"
    again = Ledger.from_json(ledger.to_json())
    assert again == ledger
    again.add(ledger)
    assert (again.read, again.dropped["empty"], again.repaired["trimmed"], again.noted["very long"]) == (12, 4, 2, 2)
