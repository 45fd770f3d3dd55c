"""Numbers on how respondents differ: the runs that their spread needs."""
