"""What is handed out: chart, manifests, image, lock files (made by `tools/`).

Not named `packaging`: this directory is on the import path, and pytest needs the library.
"""
