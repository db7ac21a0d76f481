"""`python -m localprop` is `localprop`."""

from .cli import run

if __name__ == "__main__":
    run()
