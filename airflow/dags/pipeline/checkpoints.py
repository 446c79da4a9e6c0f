"""Run checkpoints without Airflow: `python -m pipeline.checkpoints`."""

import argparse
import sys

from pipeline.settings import Settings

FILE_CHECKPOINTS = ("snapshot", "predictions")


def main() -> None:
    """Run checkpoints and print one line per expectation; the exit status is 1 if an expectation is not met."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.checkpoints", description=main.__doc__)
    settings = Settings()
    tables = [*settings.sources, settings.labeled, settings.to_predict]
    files = " and ".join(f"{name}=URI" for name in FILE_CHECKPOINTS)
    told = f"default: {' '.join(tables)}; {files} check a Parquet file"
    parser.add_argument("checkpoint", nargs="*", default=tables, help=told)
    # The name of each checkpoint, and the URI of its file or an empty text.
    chosen = [name.partition("=")[::2] for name in parser.parse_args().checkpoint]
    if without := [name for name, uri in chosen if name in FILE_CHECKPOINTS and not uri]:
        parser.error(f"the checkpoint {without[0]} needs a file: {without[0]}=URI")

    # Importing Great Expectations takes 5 s; --help and wrong arguments are answered before.
    from great_expectations.exceptions import GreatExpectationsError
    from sqlalchemy.exc import SQLAlchemyError

    from pipeline.data_context import open_context
    from pipeline.gate import Gate

    try:
        context = open_context()
        gates = [Gate(context, name, uri or None) for name, uri in chosen]
        for gate in gates:
            gate.run()
            lines = [f"  ok      {line}" for line in gate.passed()] + [f"  FAILED  {line}" for line in gate.failures()]
            print(f"checkpoint {gate.name}", *lines, sep="\n", flush=True)
        print(f"data docs: {context.get_docs_sites_urls()[0]['site_url']}")
    except (GreatExpectationsError, SQLAlchemyError, ValueError, LookupError, OSError) as error:
        sys.exit(str(error))
    sys.exit(not all(gate.success for gate in gates))


if __name__ == "__main__":
    main()
