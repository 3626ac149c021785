"""Who may import whom: the package's layers as a table, compared with every import of every file.

Imports inside functions, under TYPE_CHECKING and by import_module("...") count like any other.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gancodec"
FILES = sorted(PACKAGE.rglob("*.py"))
SERVICE_FILES = sorted((ROOT / "service").rglob("*.py"))

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "defaults": set(),
    "timing": set(),
    "waiting": set(),
    "writing": {"errors"},
    "container": {"errors"},
    "entropy": {"errors"},
    "picture": {"errors"},
    "networks": {"errors"},
    "registry": {"errors"},
    "description": {"errors", "container", "registry"},
    "client": {"errors", "defaults"},
    "features": {"errors", "networks"},
    "weights": {"errors", "writing", "networks", "entropy", "registry"},
    "pipeline": {"errors", "timing", "entropy", "picture", "networks", "weights"},
    "effort": {"errors", "defaults", "timing", "entropy", "features", "picture", "networks", "weights", "pipeline"},
    "rate_search": {"errors"},
    "codec": {
        "errors", "defaults", "container", "entropy", "picture", "networks", "registry", "weights", "pipeline",
        "effort", "rate_search",
    },
    "pillow": {"errors", "defaults", "registry", "codec"},
    "pillow_plugin": {"errors", "defaults", "container", "description", "picture", "registry", "codec", "pillow"},
    "thumbnailer": {"errors", "picture", "codec", "waiting", "writing"},
    "evaluation": {
        "errors", "defaults", "timing", "writing", "container", "features", "networks", "picture", "pipeline",
        "registry", "effort", "codec",
    },
    "training": {
        "__init__", "errors", "defaults", "writing", "networks", "entropy", "features", "picture", "registry",
        "weights", "pipeline", "effort", "codec", "evaluation",
    },
}
"""Top-level module or package of gancodec -> the others it may import."""
MAY_IMPORT["cli"] = {*MAY_IMPORT, "__init__"}
MAY_IMPORT["__main__"] = {"cli", "waiting"}
MAY_IMPORT["__init__"] = {"errors", "effort", "codec"}

THIRD_PARTY: dict[str, set[str]] = {
    "errors": set(),
    "defaults": set(),
    "timing": set(),
    "waiting": set(),
    "writing": set(),
    "container": set(),
    "registry": set(),
    "description": set(),
    "rate_search": set(),
    "client": set(),
    "entropy": {"numpy", "constriction"},
    "picture": {"numpy", "PIL"},
    "networks": {"torch", "numpy"},
    "pillow": {"torch"},
    "pillow_plugin": {"PIL"},
}
"""The only distributions that these may import; the rest is bound by HEAVY alone."""

HEAVY = {"compressai", "torchvision", "fastapi", "scipy"}
"""Seconds to import, or in an extra only: never on the way from a picture to a file and back."""
MAY_BE_HEAVY = {"training", "evaluation", "features"}

FILE_MODULES = {"io", "json", "os", "pathlib", "shutil", "tempfile"}
"""What networks do without: they take and give tensors."""
FILE_MODULES_ALLOWED = {"networks/config.py": {"json"}}


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Dotted names that `source`, a module of `package`, imports; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*parents, *filter(None, [node.module])])
                yield from (f"{base}.{alias.name}" for alias in node.names)
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
                called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                if called in ("import_module", "__import__"):
                    yield name


def imports_of(path: Path) -> set[str]:
    return set(imported_modules(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parts[:-1])))


def unit_of(path: Path) -> str:
    """The row of the table that a file of gancodec belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_unit(module: str) -> str | None:
    """The row of the table that ``gancodec...`` belongs to; None for the version, which is free to all."""
    first = module.split(".")[1] if "." in module else "__init__"
    return {"__version__": None, "GancodecError": "errors", "Codec": "codec", "Effort": "effort"}.get(first, first)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_module_imports_only_lower_layers(path: Path) -> None:
    unit = unit_of(path)
    assert unit in MAY_IMPORT, f"gancodec/{unit} has no row in MAY_IMPORT: which layer is it?"
    imported = {imported_unit(module) for module in imports_of(path) if top(module) == "gancodec"} - {None, unit}
    assert imported <= MAY_IMPORT[unit], f"gancodec/{name_of(path)} may not import {imported - MAY_IMPORT[unit]}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_module_imports_only_the_distributions_of_its_layer(path: Path) -> None:
    unit = unit_of(path)
    foreign = {top(module) for module in imports_of(path)} - sys.stdlib_module_names - {"gancodec"}
    assert "service" not in foreign, "gancodec knows the service only as the string 'service.app:app'"
    if unit in THIRD_PARTY:
        assert foreign <= THIRD_PARTY[unit], f"gancodec/{name_of(path)} may not import {foreign - THIRD_PARTY[unit]}"
    if unit not in MAY_BE_HEAVY:
        assert not foreign & HEAVY, f"gancodec/{name_of(path)} is on the inference path"


@pytest.mark.parametrize("path", [path for path in FILES if unit_of(path) == "networks"], ids=name_of)
def test_networks_touch_no_files(path: Path) -> None:
    allowed = FILE_MODULES_ALLOWED.get(name_of(path), set())
    assert not ({top(module) for module in imports_of(path)} & FILE_MODULES) - allowed
    calls = {node.func.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "open" not in calls


def test_the_service_imports_neither_the_trainer_nor_the_command_line() -> None:
    for path in SERVICE_FILES:
        units = {imported_unit(module) for module in imports_of(path) if top(module) == "gancodec"} - {None}
        assert units <= MAY_IMPORT.keys() - {"cli", "training", "__main__"}, path


def test_the_layers_have_no_cycle() -> None:
    tuple(graphlib.TopologicalSorter(MAY_IMPORT).static_order())


def test_a_header_can_be_read_without_torch_numpy_and_pillow() -> None:
    code = (
        "import sys, gancodec, gancodec.container, gancodec.registry\n"
        "gancodec.GancodecError, gancodec.Effort(level=3), gancodec.registry.shipped_models()\n"
        "print(*{'torch', 'numpy', 'PIL'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


PUBLIC = [path for path in FILES if path.name == "__init__.py" and path.stat().st_size]


@pytest.mark.parametrize("path", PUBLIC, ids=name_of)
def test_all_lists_every_name_that_a_package_offers(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    offered = {
        alias.asname or alias.name
        for node in [*tree.body, *(inner for outer in tree.body if isinstance(outer, ast.If) for inner in outer.body)]
        if isinstance(node, ast.ImportFrom) and (node.level or top(node.module or "") == "gancodec")
        for alias in node.names
    }
    offered |= {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    offered |= {"__version__"} if path.parent == PACKAGE else set()
    module = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
    if not offered and not hasattr(module, "__all__"):
        return  # a package that is only a docstring
    assert len(module.__all__) == len(set(module.__all__))
    assert set(module.__all__) == {name for name in offered if not name.startswith("_") or name == "__version__"}
    missing = {name for name in module.__all__ if not hasattr(module, name)}
    assert not missing


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    gancodec = importlib.import_module("gancodec")
    with pytest.raises(AttributeError, match="no attribute 'Kodec'"):
        _ = gancodec.Kodec


def test_hidden_imports_are_seen() -> None:
    source = """
import gancodec.errors, numpy as np
from gancodec import Codec, weights
from . import coder
from ..networks.blocks import Block
if TYPE_CHECKING:
    from gancodec.training.data import Photos
def later():
    import torch.nn
    from gancodec.evaluation import metrics
    importlib.import_module("service.app")
    return __import__("scipy")
uvicorn.run("service.app:app")
"""
    assert set(imported_modules(source, "gancodec.entropy")) == {
        "gancodec.errors",
        "numpy",
        "gancodec.Codec",
        "gancodec.weights",
        "gancodec.entropy.coder",
        "gancodec.networks.blocks.Block",
        "gancodec.training.data.Photos",
        "torch.nn",
        "gancodec.evaluation.metrics",
        "service.app",
        "scipy",
    }
    assert imported_unit("gancodec.networks.blocks.Block") == "networks"
    assert imported_unit("gancodec.Codec") == "codec"
    assert imported_unit("gancodec.__version__") is None
