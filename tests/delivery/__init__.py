"""What is handed out: chart, manifests, image, lock files; how they are made, and their tests.

Not named `packaging`: this directory is on the import path, and pytest needs the library.
"""
