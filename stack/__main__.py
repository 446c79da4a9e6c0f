"""The command line behind the Makefile."""

from stack.cli.main import main

if __name__ == "__main__":
    main()
