"""``python -m caffeport``."""

from caffeport.cli import main

main()
