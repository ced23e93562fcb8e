"""Pages of the web: WARC and WET files, text out of HTML, C4's rules."""
