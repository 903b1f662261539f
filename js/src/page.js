// The script of a report page. Without it the page can be read in full.
