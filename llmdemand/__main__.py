"""``python -m llmdemand`` is the command line."""

from llmdemand.cli import main

if __name__ == "__main__":
    main()
