"""What `explain` says of policies at random, held against what a real mesh does with them."""
