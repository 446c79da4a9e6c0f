"""`python -m tagifai` is the command `tagifai`."""

from tagifai.cli import main

main()
