"""Checks of `gancodec doctor` that need no weights: Python, libraries, CUDA, formats, space."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import gancodec
from gancodec.cli.doctor import Finding, fail, ok, warning
from gancodec.cli.requirements import Requirement, read_requirements, within

IMPORTED_AS: Final = {"pillow": "PIL"}
"""Distribution -> module, where the names differ."""
LITTLE_SPACE: Final = 200_000_000
"""Bytes below which a run over many pictures may fill the disk."""
EXTRAS: Final = ("eval", "service", "train")
ASKED_FOR_CUDA: Final = "cuda"
NO_CUDA: Final = "cpu"


def package() -> Iterator[Finding]:
    """Which gancodec this is, and where."""
    yield ok("gancodec", f"{gancodec.__version__} in {Path(gancodec.__file__).parent}")


def python() -> Iterator[Finding]:
    """Python's version."""
    requirements = read_requirements()
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if requirements is not None and not within(platform.python_version(), requirements.python):
        yield fail("python", found, f"gancodec wants Python {requirements.python}: make an environment with such a one")
    else:
        yield ok("python", found)


def libraries() -> Iterator[Finding]:
    """Every library that is always needed: there, of a version that serves, and importable.  torch comes later."""
    requirements = read_requirements()
    if requirements is None:
        yield warning("libraries", "the versions that serve are not known here", "install gancodec with pip")
        return
    for requirement in requirements.core():
        wrong = _version_finding(requirement)
        if wrong is not None:
            yield wrong
        elif requirement.name != "torch":
            yield _import_finding(requirement)


def _version_finding(requirement: Requirement) -> Finding | None:
    """What is wrong with the version; None if nothing is."""
    version = requirement.installed
    if version is None:
        return fail(requirement.name, "not installed", f"pip install '{requirement}'")
    if not requirement.allows(version):
        wanted = f"{version}, but gancodec wants {requirement.bounds}"
        return fail(requirement.name, wanted, f"pip install '{requirement}'")
    return None


def _import_finding(requirement: Requirement) -> Finding:
    name = requirement.name
    try:
        importlib.import_module(IMPORTED_AS.get(name, name))
    except Exception as exc:  # broken libraries raise anything
        return fail(name, f"cannot be imported: {_line(exc)}", f"pip install --force-reinstall '{requirement}'")
    return ok(name, f"{requirement.installed} ({requirement.bounds})")


def torch_build() -> Iterator[Finding]:
    """torch: importable, and how it computes."""
    try:
        import torch
    except Exception as exc:
        yield fail("torch", f"cannot be imported: {_line(exc)}", "pip install torch, or choose a build on pytorch.org")
        return
    threads = torch.get_num_threads()
    found = f"{torch.__version__}, {threads} thread{'s' if threads > 1 else ''}"
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        yield ok("torch", f"{found}, oneDNN")
    else:
        yield warning("torch", f"{found}, without oneDNN: the CPU is several times slower")


def cuda(device: str) -> Iterator[Finding]:
    """CUDA devices, or why there are none: a failure if ``device`` asks for one."""
    if device == NO_CUDA:
        # To ask would start the driver, and take memory of a GPU that others may be using.
        yield ok("cuda", "not looked for: computing on the CPU, as asked")
        return
    import torch

    if not torch.cuda.is_available():
        reason, advice = _why_no_cuda()
        if device.startswith(ASKED_FOR_CUDA):
            yield fail("cuda", reason, advice)
        elif "too old" in reason:
            yield warning("cuda", f"{reason}: computing on the CPU", advice)
        else:
            yield ok("cuda", f"{reason}: computing on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        check = f"cuda:{index}"
        try:
            name = torch.cuda.get_device_name(index)
            free, total = torch.cuda.mem_get_info(index)
        except Exception as exc:  # one that is full or in exclusive use does not hide the others
            yield fail(check, _line(exc).partition("http")[0], "see nvidia-smi for who uses it, or use --device cpu")
            continue
        yield ok(check, f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CUDA {torch.version.cuda}")


def _why_no_cuda() -> tuple[str, str]:
    """The reason, in torch's words where it has some, and what to do."""
    import torch

    if torch.version.cuda is None:
        return "this torch is built without CUDA", "install a build with CUDA: see pytorch.org"
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.zeros(1, device="cuda")
    except Exception as exc:
        reason = _line(exc).partition("http")[0]
        if "driver" in reason and "too old" in reason:
            return reason, "update the NVIDIA driver, or install a torch for an older CUDA"
        if "no NVIDIA driver" in reason:
            return "no NVIDIA driver", "install the driver of your GPU"
        return reason, "see whether nvidia-smi shows the GPU"
    return "torch sees no GPU", "see whether nvidia-smi shows it, and CUDA_VISIBLE_DEVICES"


def picture_formats() -> Iterator[Finding]:
    """What Pillow reads and writes."""
    from PIL import features

    names = {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "avif": "AVIF", "littlecms2": "colour profiles"}
    missing = [text for name, text in names.items() if not features.check(name)]
    if missing:
        yield warning("pillow formats", f"no {', '.join(missing)}", "pip install --force-reinstall pillow")
    else:
        yield ok("pillow formats", ", ".join(names.values()))


def extras() -> Iterator[Finding]:
    """What is installed of what is optional: for information, never a failure."""
    requirements = read_requirements()
    if requirements is None:
        return
    for extra in EXTRAS:
        of_it = requirements.of_extra(extra)
        missing = [each.name for each in of_it if each.installed is None]
        if not missing:
            yield ok(f"extra {extra}", "installed")
        elif len(missing) == len(of_it):
            yield ok(f"extra {extra}", f"not installed (pip install 'gancodec[{extra}]')")
        else:
            yield ok(f"extra {extra}", f"without {', '.join(missing)} (pip install 'gancodec[{extra}]')")


def temporary_files() -> Iterator[Finding]:
    """Whether they can be written."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"gancodec")
    except OSError as exc:
        yield fail("temporary files", f"cannot be written: {_line(exc)}", "set TMPDIR to one that can")
        return
    yield ok("temporary files", tempfile.gettempdir())


def disk_space() -> Iterator[Finding]:
    """Free space for temporary files and in the working folder."""
    for folder in dict.fromkeys((tempfile.gettempdir(), str(Path.cwd()))):
        free = shutil.disk_usage(folder).free
        found = f"{free / 1e9:,.1f} GB free for {folder}"
        if free < LITTLE_SPACE:
            yield warning("disk space", found, "make room before compressing many pictures")
        else:
            yield ok("disk space", found)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
