"""Makes the pages of the docs site: those of `pages/`, what of the project's README is for readers of the site too, and a
reference generated from the contract, the configuration's table, the command line, the metrics and the reasons of errors.

    build.py PROGRAM TARGET      writes TARGET/src for mdBook; PROGRAM is the server, which is asked for its help
    build.py --links TARGET      checks every link of TARGET/book that stays inside
"""

from __future__ import annotations

import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = "https://github.com/quarterdeck/quarterdeck/blob/main"

# The site in its order: part, then (title, file, where it comes from): a file of `pages/`, a heading of the README, another
# file of the project, or what is generated.
OUTLINE = [
    ("", [("Quarterdeck", "introduction.md", "page"), ("Concepts", "concepts.md", "page")]),
    ("How to", [
        ("The first five minutes", "five-minutes.md", "Five minutes"),
        ("Your agent in your repository", "coding-agent.md", "page"),
        ("Just a model", "just-a-model.md", "page"),
        ("Bring your agent", "bring-your-agent.md", "page"),
        ("Choose models and options", "models.md", "page"),
        ("Read an agent's files", "files.md", "page"),
        ("Call it from your language", "clients.md", "Clients"),
        ("The service, call by call", "service.md", "page"),
        ("Answer questions", "questions.md", "page"),
        ("Have answers parsed", "parsed-answers.md", "page"),
        ("Run tools yourself", "client-tools.md", "page"),
        ("Schedule prompts", "schedules.md", "page"),
        ("Remember across sessions", "memory.md", "page"),
        ("Memory in your MCP client", "mcp-clients.md", "page"),
        ("Know what it cost", "usage.md", "page"),
        ("REST, server-sent events, Connect", "rest.md", "page"),
        ("Webhooks", "webhooks.md", "page"),
        ("Chat protocols", "chat-protocols.md", "page"),
        ("In your editor", "editors.md", "page"),
        ("Web pages", "web-pages.md", "page"),
        ("The console", "console.md", "page"),
        ("The echo agent", "echo.md", "page"),
    ]),
    ("Operations", [
        ("Run it", "deploy.md", "page"),
        ("Configure it", "configuring.md", "page"),
        ("On a network", "network.md", "page"),
        ("Agents on other machines", "workers.md", "page"),
        ("Operation", "operation.md", "page"),
        ("Changes", "changes.md", "CHANGELOG.md"),
    ]),
    ("Security", [
        ("Who may call", "callers.md", "page"),
        ("Isolation", "isolation.md", "page"),
        ("What is promised", "promises.md", "page"),
        ("Faults of security", "security.md", "SECURITY.md"),
    ]),
    ("Reference", [
        ("Using the command line", "cli.md", "page"),
        ("Command line", "command-line.md", "commands"),
        ("Configuration", "configuration.md", "settings"),
        ("Calls and messages", "calls.md", "contract"),
        ("Errors", "errors.md", "errors"),
        ("Metrics", "metrics.md", "metrics"),
    ]),
    ("Measured", [
        ("Measured", "measured.md", "page"),
        ("Against others' suites", "suites.md", "page"),
        ("Inside", "inside.md", "page"),
    ]),
]


def slug(heading: str) -> str:
    """The anchor of a heading, as mdBook and code forges make it."""
    text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return text.replace(" ", "-")


def section(heading: str) -> str:
    """A section of the README, with all below it, as a page."""
    found: list[str] = []
    level, fenced = 0, False
    for line in (ROOT / "README.md").read_text().splitlines():
        fenced ^= line.startswith("```")
        title = None if fenced else re.match(r"(#+) (.*)", line)
        if title and title[2] == heading:
            level = len(title[1])
            found = [f"# {heading}"]
        elif title and level and len(title[1]) <= level:
            break
        elif level:
            found.append(line[level - 1 :] if title else line)
    if not found:
        raise SystemExit(f"the README has no section {heading}: change OUTLINE in docs/build.py")
    return "\n".join(found) + "\n"


def linked(text: str, base: pathlib.Path, file: str) -> str:
    """The text with its links, which are those of the project's files, as links of the site; what is no page of it is linked
    to its source."""
    pages = {source if source.endswith(".md") else f"docs/pages/{name}": name for _, part in OUTLINE for _, name, source in part}
    sections = {slug(source): name for _, part in OUTLINE for _, name, source in part}

    def there(match: re.Match[str]) -> str:
        target = match[2]
        if target is None or "://" in target or target.startswith("#"):
            return match[0]  # code, elsewhere, or here
        path, _, anchor = target.partition("#")
        named = (base / path).resolve()
        if named == ROOT / "README.md" and anchor in sections:
            return f"]({sections[anchor]})"
        inside = str(named.relative_to(ROOT))
        if inside in pages:
            return f"]({pages[inside]}{'#' + anchor if anchor else ''})"
        if not named.exists():
            raise SystemExit(f"{file} links to {target}, which the project does not have")
        return f"]({SOURCE}/{inside}{'#' + anchor if anchor else ''})"

    return re.sub(r"(```.*?```|`[^`]*`)|\]\(([^)\s]+)\)", there, text, flags=re.DOTALL)


# --- Reference. ---


def contract() -> str:
    """Every service and message with its comments."""
    pages = ["# Calls and messages\n", "Generated from `proto/quarterdeck/v1`. A field's number stands before it.\n"]
    for file in sorted((ROOT / "proto/quarterdeck/v1").glob("*.proto")):
        pages += proto_file(file)
    return "\n".join(pages)


def proto_file(file: pathlib.Path) -> list[str]:
    out: list[str] = [f"## {file.name}\n"]
    comment: list[str] = []
    owners: list[str] = []
    for line in file.read_text().splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text[2:].strip())
            continue
        said, comment = " ".join(comment), []
        opened = re.match(r"(service|message|enum|oneof) (\w+) \{", text)
        if opened:
            kind, name = opened.groups()
            owners.append(name)
            if kind == "oneof":
                out.append(f"- one of these, `{name}`: {said}")
            else:
                out += ["", f"### {'.'.join(owners)}\n", said, ""]
            if text.endswith("}"):
                owners.pop()
        elif text == "}":
            owners.pop()
        elif call := re.match(r"rpc (\w+)\((\w+)\) returns \((stream )?(\w+)\)", text):
            name, request, stream, response = call.groups()
            out.append(
                f"- **{name}** ([{request}](#{slug(request)})) → {stream or ''}[{response}](#{slug(response)}): {said}"
            )
        elif field := re.match(r"((?:optional |repeated )?[\w.]+(?:<[^>]+>)?) (\w+) = (\d+)", text):
            kind, name, number = field.groups()
            out.append(f"- {number} `{name}` ({kind.replace('<', '&lt;')}): {said}")
        elif value := re.match(r"(\w+) = (\d+)", text):
            out.append(f"- {value[2]} `{value[1]}`: {said}")
    return out


def settings(program: str) -> str:
    """Every key, as the program prints them with their documentation."""
    printed = run(program, "print-config", "--default")
    return (
        "# Configuration\n\nLater sources win: defaults, the file `quarterdeck.toml`, variables (`QUARTERDECK_` and the key in"
        " capitals), flags of `serve` (the key with hyphens). `quarterdeck check-config` tells what is wrong with a file.\n\n"
        f"```toml\n{printed.rstrip()}\n```\n"
    )


def commands(program: str) -> str:
    """The help of every command, and of those below it."""
    out = ["# Command line\n", "What `--help` says.\n"]

    def tell(words: list[str]) -> None:
        told = run(program, *words, "--help")
        out.append(f"{'#' * min(len(words) + 2, 4)} quarterdeck {' '.join(words)}\n".replace(" \n", "\n"))
        out.append(f"```text\n{told.rstrip()}\n```\n")
        below = re.search(r"^Commands:\n((?:  .*\n|\n)+)", told, re.MULTILINE)
        names = re.findall(r"^  ([a-z][\w-]*)(?:  |$)", below[1], re.MULTILINE) if below else []
        if not words:
            names = top_commands(told)
        for name in names:
            if name != "help":
                tell([*words, name])

    tell([])
    return "\n".join(out)


def top_commands(told: str) -> list[str]:
    """The first word of each indented line before the options: commands stand there in groups."""
    lines = told.split("\nOptions:")[0].splitlines()
    return [found[1] for line in lines if (found := re.match(r"  ([a-z][\w-]*)(?:  |$)", line))]


def errors() -> str:
    """Every reason with its code and what it means."""
    texts = (ROOT / "clients/python/src/quarterdeck/errors.py").read_text()
    means = dict(re.findall(r'^class (\w+)\([^)]*\):\n    """([^\n"]+)', texts, re.MULTILINE))
    out = [
        "# Errors\n",
        "A refusal has a gRPC code and, in `google.rpc.ErrorInfo`, a reason. Each client has a class or a sentinel of it:"
        " `QUEUE_FULL` is `QueueFull`.\n",
        "| reason | code | what it means |",
        "|---|---|---|",
    ]
    for each in json.loads((ROOT / "clients/reasons.json").read_text()):
        name = "".join(word.capitalize() for word in each["reason"].split("_"))
        out.append(f"| `{each['reason']}` | {each['code']} | {means.get(name, '')} |")
    return "\n".join(out) + "\n"


def metrics() -> str:
    """Every metric with its kind and what it counts."""
    text = (ROOT / "src/telemetry/metrics.rs").read_text()
    names = dict(re.findall(r'const (\w+): &str =\s*"([^"]+)";', text))
    found = re.findall(r'describe_(counter|gauge|histogram)!\(\s*(\w+|"[^"]+"),\s*(?:Unit::(\w+),\s*)?"([^"]+)"', text)
    if not found:
        raise SystemExit("src/telemetry/metrics.rs describes no metric that docs/build.py finds")
    out = ["# Metrics\n", "At `metrics_listen`, for Prometheus.\n", "| name | kind | what it is |", "|---|---|---|"]
    for kind, name, unit, said in found:
        shown = names.get(name, name.strip('"'))
        out.append(f"| `{shown}` | {kind}{f', {unit.lower()}' if unit else ''} | {said} |")
    return "\n".join(out) + "\n"


def run(program: str, *words: str) -> str:
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, env={"COLUMNS": "110", "HOME": "/"})
    if done.returncode != 0:
        raise SystemExit(f"{program} {' '.join(words)}: {done.stderr}")
    return done.stdout


# --- The site. ---


def build(program: str, target: pathlib.Path) -> None:
    program = str(pathlib.Path(program).resolve())
    shutil.rmtree(target, ignore_errors=True)
    pages = target / "src"
    pages.mkdir(parents=True)
    shutil.copy(ROOT / "docs/book.toml", target)
    generated = {
        "commands": lambda: commands(program),
        "settings": lambda: settings(program),
        "contract": contract,
        "errors": errors,
        "metrics": metrics,
    }
    summary = ["# Summary\n"]
    for part, of_part in OUTLINE:
        if part:
            summary.append(f"\n# {part}\n")
        for title, file, source in of_part:
            if source == "page":
                text = linked((ROOT / "docs/pages" / file).read_text(), ROOT / "docs/pages", file)
            elif source in generated:
                text = generated[source]()
            elif source.endswith(".md"):
                text = linked((ROOT / source).read_text(), ROOT, file)
            else:
                text = linked(section(source), ROOT, file)
            (pages / file).write_text(text)
            summary.append(f"- [{title}]({file})" if part else f"[{title}]({file})")
    (pages / "SUMMARY.md").write_text("\n".join(summary) + "\n")


class Links(html.parser.HTMLParser):
    """Where a page points, and what of it can be pointed at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.targets.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


def check_links(book: pathlib.Path) -> int:
    pages = {page: Links(page.read_text()) for page in book.rglob("*.html")}
    wrong = 0
    for page, links in pages.items():
        if page.name in ("404.html", "print.html", "toc.html"):
            continue
        for target in links.targets:
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else page
            anchor = urllib.parse.unquote(parts.fragment)
            known = pages.get(file)
            if not file.exists() or (anchor and known and anchor not in known.anchors):
                print(f"{page.name} links to {target}, which is not there", file=sys.stderr)
                wrong += 1
    print(f"{len(pages)} pages, {sum(len(it.targets) for it in pages.values())} links, {wrong} broken")
    return 1 if wrong else 0


if sys.argv[1] == "--links":
    sys.exit(check_links(pathlib.Path(sys.argv[2]).resolve() / "book"))
build(sys.argv[1], pathlib.Path(sys.argv[2]))
