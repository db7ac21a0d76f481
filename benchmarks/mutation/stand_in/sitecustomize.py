"""Python imports this as it starts, where this folder is on its path: tests start processes too.

`LOCALPROP_STAND_IN` names a file to read in place of another: `FILE=STANDIN`.
"""

import importlib.machinery
import os


def install(own: str, other: str) -> None:
    """Lets the import system read the file `other` where it would read `own`."""
    loader = importlib.machinery.SourceFileLoader
    read, stats = loader.get_data, loader.path_stats

    def get_data(self, path):
        return read(self, other if str(path) == own else path)

    def path_stats(self, path):
        if str(path) == own:
            raise OSError("never from compiled code, which is that of the file itself")
        return stats(self, path)

    loader.get_data, loader.path_stats = get_data, path_stats


if "LOCALPROP_STAND_IN" in os.environ:
    install(*os.environ["LOCALPROP_STAND_IN"].split("="))
