"""Things to try: documents, and the demonstration."""
