"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe(data: Path) -> dict[str, str]:
    """The machine, for people; `data` is where the brokers keep their files."""
    load = os.getloadavg()[0]
    facts = {
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "Memory": _memory(),
        "Kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "System": _system(),
        "Disk": _filesystem(data),
        "Load before the run": f"{load:.2f}",
    }
    if load > 0.5 * (os.cpu_count() or 1):
        facts["Warning"] = "other work was running on the machine: compare peers within this run, and no figure with another run"
    return facts


def _field(path: str, name: str, separator: str) -> str:
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(separator)
            if key.strip() == name:
                return value.strip().strip('"')
    except OSError:
        pass
    return ""


def _cpu() -> str:
    return _field("/proc/cpuinfo", "model name", ":") or platform.processor() or platform.machine()


def _memory() -> str:
    kib = _field("/proc/meminfo", "MemTotal", ":").removesuffix(" kB")
    return f"{int(kib) / 1024 / 1024:.1f} GiB" if kib.isdigit() else "unknown"


def _system() -> str:
    return _field("/etc/os-release", "PRETTY_NAME", "=") or platform.platform()


def _filesystem(data: Path) -> str:
    """Type and options of the file system that holds `data`: the longest mount point that is a prefix of it."""
    best, found = "", "unknown"
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    where = str(data.resolve())
    for line in lines:
        _, mount, kind, options, *_ = line.split()
        if (where == mount or where.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, found = mount, f"{kind} ({options})"
    return found
