"""Run ``tav study``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import closing, suppress

from ...study import PORT
from ...text_table import counted


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "results",
        metavar="RESULTS",
        help="folder with a folder of videos per system, the same names in each; prompts.csv with the columns name and "
        "prompt (not needed for outputs of 'tav run'); and, optionally, the edited clips in source/",
    )
    parser.add_argument("--report", action="store_true", help="evaluate the answers instead of asking for more")
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"of the page, on this machine (default {PORT})"
    )


def run(arguments: Namespace) -> None:
    if arguments.report:
        from ...study.report import write_report

        print(write_report(arguments.results))
        return
    from ...study.folder import read_results
    from ...study.rating import Study
    from ...study.server import StudyServer

    with closing(Study(read_results(arguments.results))) as study, StudyServer(study, arguments.port) as server:
        print(
            f"{len(study.results.systems)} systems, {counted(len(study.results.clips), 'prompt')}: "
            f"{study.total} questions to each rater, at {server.url}\n"
            f"Answers are added to {study.log.path}; the same command with --report evaluates them. Ctrl-C ends.",
            flush=True,
        )
        with suppress(KeyboardInterrupt):
            server.serve_forever()
