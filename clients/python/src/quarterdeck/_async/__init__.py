"""The asyncio client. `_sync` is made of this by `generate-sync`, but for `io.py`, which each has of its own."""
