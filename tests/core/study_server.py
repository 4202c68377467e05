"""A study's server for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tav_core.study.folder import read_results
from tav_core.study.rating import Study
from tav_core.study.server import StudyServer


@contextmanager
def serving(folder: Path) -> Iterator[StudyServer]:
    """Serve the study of a folder of results on a free port."""
    with StudyServer(Study(read_results(folder)), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
