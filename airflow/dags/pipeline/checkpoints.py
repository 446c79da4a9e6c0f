"""Run checkpoints without Airflow: `python -m pipeline.checkpoints`."""

import argparse
import sys

TABLE_CHECKPOINTS = ("projects", "tags", "labeled_projects")


def main() -> None:
    """Run checkpoints and print one line per expectation; the exit status is 1 if an expectation is not met."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.checkpoints", description=main.__doc__)
    parser.add_argument("checkpoint", nargs="*", help=f"default: {' '.join(TABLE_CHECKPOINTS)}")
    parser.add_argument("--snapshot", metavar="URI", help="also run the checkpoint `snapshot` on this Parquet file")
    arguments = parser.parse_args()
    names = arguments.checkpoint or list(TABLE_CHECKPOINTS)
    if arguments.snapshot and "snapshot" not in names:
        names.append("snapshot")
    if "snapshot" in names and not arguments.snapshot:
        parser.error("the checkpoint snapshot needs a file: --snapshot URI")

    # Importing Great Expectations takes 5 s; --help and wrong arguments are answered before.
    from great_expectations.exceptions import GreatExpectationsError

    from pipeline.data_context import open_context
    from pipeline.gate import Gate

    try:
        context = open_context()
        gates = [Gate(context, name, arguments.snapshot if name == "snapshot" else None) for name in names]
        for gate in gates:
            gate.run()
            lines = [f"  ok      {line}" for line in gate.passed()] + [f"  FAILED  {line}" for line in gate.failures()]
            print(f"checkpoint {gate.name}", *lines, sep="\n", flush=True)
        print(f"data docs: {context.get_docs_sites_urls()[0]['site_url']}")
    except (GreatExpectationsError, OSError) as error:
        sys.exit(str(error))
    sys.exit(not all(gate.success for gate in gates))


if __name__ == "__main__":
    main()
