"""`python -m taskengine.cli`, for where the script is not on PATH."""

import sys

from taskengine.cli.entry import main

sys.exit(main())
