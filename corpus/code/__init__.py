"""Source code: which files are taken, under which licences, without their headers."""
