"""What becomes of a call, told from the policies alone.

It says what the language means and knows nothing of how that is brought about: it imports nothing
of `plan`, so that the two can be held against each other, on paper and by traffic.
"""
