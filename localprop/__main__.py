"""`python -m localprop` is `localprop`."""

from .cli import main

if __name__ == "__main__":
    main()
