"""`python -m egress_operator.cli` is `egressctl`."""

from egress_operator.cli.main import main

main()
