"""`python -m spacy_prokd` is the command line too: what project.yml calls, in whatever environment runs it."""

from .cli import main

main()
