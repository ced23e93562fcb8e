"""Spares Python's garbage collector what lives as long as the process."""

import gc


def spare_long_lived() -> None:
    """Let collections leave out all objects that there are now.

    What libraries make when they are imported is a million objects, and each full collection walks over all of them: a
    fifth of a second on one core of an AMD EPYC. For what a long loop makes, collections then take microseconds.
    """
    gc.collect()  # what is garbage already would stay for ever
    gc.freeze()
