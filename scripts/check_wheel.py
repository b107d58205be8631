"""Builds the wheel, checks what is in it, installs it alone, and runs the command there.

An editable install hides a file that is missing from the wheel, and a development environment hides a
dependency that is missing from its list; this gate shows both.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(Path(sys.executable).with_name("uv"))
NATIVE = "crossmargin/kernels/_native.abi3.so"
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON")


def run(*command: str, cwd: Path = ROOT) -> str:
    """Output of `command`; where it fails, ends the gate with what it said."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(into: Path) -> Path:
    """Path of the wheel built from the checkout."""
    run(UV, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", str(into))
    (wheel,) = into.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> int:
    """Number of package files in the wheel; ends the gate where the checkout has others."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("crossmargin/")}
    source = ROOT / "src"
    kept = {
        path.relative_to(source).as_posix()
        for path in (source / "crossmargin").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }
    if NATIVE in packed or os.environ.get("CROSSMARGIN_REQUIRE_NATIVE"):
        kept.add(NATIVE)
    if "crossmargin/py.typed" not in packed or packed != kept:
        sys.exit(f"the wheel lacks {sorted(kept - packed)} and has besides {sorted(packed - kept)}")
    return len(packed)


def install(wheel: Path, into: Path) -> Path:
    """Directory of the commands of a fresh environment: the wheel and its core dependencies alone."""
    constraints = into / "constraints.txt"
    run(
        *(UV, "export", "--quiet", "--locked", "--no-default-groups", "--no-emit-project", "--no-hashes"),
        *("--python", sys.executable, "--output-file", str(constraints)),
    )
    environment = into / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", str(python), "--constraint", str(constraints), str(wheel))
    return python.parent


def main() -> None:
    """Ends with status 0 when the wheel alone is a working crossmargin."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        wheel = build(place / "dist")
        files = check_contents(wheel)
        commands = install(wheel, place)
        command = str(commands / "crossmargin")
        version = run(command, "--version", cwd=place).strip()
        demo = run(command, "demo", cwd=place)
        if not demo.strip():
            sys.exit("the demo of the installed wheel printed nothing")
        print(f"{wheel.name}: {files} files, installed alone; {version}; demo: {len(demo.splitlines())} lines")


if __name__ == "__main__":
    main()
