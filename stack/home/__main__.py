"""`python -m stack.home`: serve the home page and the docs."""

from stack.home.app import main

main()
