"""The synchronous client, made of `_async` by `generate-sync`, but for `io.py`."""
