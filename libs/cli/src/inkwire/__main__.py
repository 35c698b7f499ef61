"""`python -m inkwire` is `inkwire`."""

from inkwire.main import main

if __name__ == "__main__":
    main()
