"""Every sentence that a user of the nodes can be shown has a Chinese one (web/js/zh); they are found in the sources."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from test_rooms import ROOT, imports, modules

from tav_core import _HOME

NOT_SHOWN = ("define_schema", "search_aliases", "warnings.warn", "logging.warning", "logging.info")
"""Functions whose strings are no messages: ComfyUI's locales have those of the schema, and logs stay English."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def translations(name: str) -> dict[str, str]:
    """Read a file of web/js/zh: English with names in braces -> Chinese."""
    text = (ROOT / "web" / "js" / "zh" / f"{name}.js").read_text(encoding="utf-8")
    return json.loads("{" + text.split(" = {", 1)[1].strip().removesuffix("}").strip().removesuffix(",") + "}")


def shown_modules() -> list[Path]:
    """Return the files of the nodes, and those of the core that they reach by imports and public names."""
    nodes, core = modules("nodes"), modules("tav_core")
    source = "".join(file.read_text(encoding="utf-8") for file in nodes.values())
    public = {_HOME.get(name) for name in re.findall(r"\btav_core\.(\w+)", source)}
    waiting = {*re.findall(r"from \.+tav_core\.([\w.]+) import", source), *public} & core.keys()
    reached = set()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= imports(name, core[name], core) - reached - {""}
    return [*nodes.values(), *(core[name] for name in reached)]


def template(node: ast.AST) -> str:
    """Return the text of a string, with {} for the values in it; "" for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if isinstance(part, ast.FormattedValue) else part.value for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def messages(node: ast.AST, raised: bool = False, computed: bool = False) -> Iterator[str]:
    """Yield what is raised, and the other sentences in functions and named constants; four words or more."""
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else getattr(node, "name", "")
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if called in NOT_SHOWN or docstring:
        return
    text = template(node)
    if text.count(" ") > 2 and (raised or (computed and re.search(r"^\S.*[^.]\.$", text))):
        yield text
    raised |= isinstance(node, ast.Raise)
    constant = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    for child in [] if text else ast.iter_child_nodes(node):
        yield from messages(child, raised, computed or constant or isinstance(node, FUNCTIONS))


def test_every_sentence_has_a_chinese_one():
    files = [ast.parse(file.read_text(encoding="utf-8")) for file in shown_modules()]
    shown = {text for file in files for text in messages(file)}
    sentences, parts = (
        {re.sub(r"{\w+}", "{}", text) for text in names}
        for names in (translations("nodes") | translations("core"), translations("phrases"))
    )
    assert sorted(shown - sentences - parts) == []
    assert sorted(sentences - shown) == [], "no longer said"


def test_translations_are_chinese_and_keep_every_value():
    for name in ("nodes", "core", "phrases"):
        for english, chinese in translations(name).items():
            given, kept = (sorted(re.findall(r"{\w+}", text)) for text in (english, chinese))
            assert given == kept and len(set(given)) == len(given), english
            assert re.search("[\u4e00-\u9fff]", chinese), english
