"""Why a wrong change to the code survives its tests; see `mutation.py`."""

EXPLAINED: dict[str, str] = {}
