"""One way to ask a model: the protocol, APIs, batch, journal, spending, throttle."""
