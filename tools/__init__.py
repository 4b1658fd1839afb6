"""What makes the checked-in files (`make gen`), and the Go modules of the tools that tests run."""
