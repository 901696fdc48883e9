"""A conversation on the terminal: `python chat.py [SESSION]`. Ctrl-C stops the running turn, Ctrl-D ends."""

import sys

from quarterdeck import Client, QuarterdeckError


def main() -> None:
    session_key = sys.argv[1] if len(sys.argv) > 1 else "demo"
    with Client() as client:
        while True:
            try:
                text = input("> ")
            except EOFError:
                return
            if not text.strip():
                continue
            try:
                for piece in client.chat(session_key, text):
                    print(piece, end="", flush=True)
                print()
            except KeyboardInterrupt:
                print("\nstopping …")
                client.abort(session_key)
            except QuarterdeckError as error:
                print(f"\n{error}", file=sys.stderr)


main()
