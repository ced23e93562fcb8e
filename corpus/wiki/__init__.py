"""MediaWiki dumps, of Wikipedia and of any other wiki."""
