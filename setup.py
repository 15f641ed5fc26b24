"""Builds toolboxsio._core from csrc/ (everything else is in pyproject.toml).

Without a working compiler the install goes on and the package runs as plain python-socketio.

    TOOLBOXSIO_REQUIRE_EXT=1   fail when the extension cannot be built
    TOOLBOXSIO_DEV=1           strict warnings, as errors
    TOOLBOXSIO_DEBUG=1         -O0 -g, assertions, small limits (TBX_DEBUG)
    TOOLBOXSIO_PURE=1          do not build the extension at all
"""

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

HERE = Path(__file__).resolve().parent
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def flag(name):
    return os.environ.get(f"TOOLBOXSIO_{name}", "0") not in ("", "0")


def files(pattern):
    return sorted(path.relative_to(HERE).as_posix() for path in HERE.glob(pattern))


def compile_args(compiler_type):
    if compiler_type == "msvc":  # what Python itself was built with says the rest
        return ["/std:c11", *(["/Od", "/UNDEBUG", "/DTBX_DEBUG"] if flag("DEBUG") else [])]
    args = ["-std=c11", "-fvisibility=hidden", "-O3"]
    if flag("DEBUG"):
        args[2:] = ["-O0", "-g", "-UNDEBUG", "-DTBX_DEBUG"]
    if flag("DEV"):
        # Python's own headers do not have to be clean.
        args += [*WARNINGS, "-isystem", sysconfig.get_path("include")]
    return args


class BuildExt(build_ext):
    """Objects one by one: in parallel, and only those out of date."""

    def build_extension(self, ext):
        sources, ext.sources = ext.sources, []
        ext.extra_compile_args = compile_args(self.compiler.compiler_type)
        try:
            if self.compiler.compiler_type == "msvc" and not self.compiler.initialized:
                self.compiler.initialize()  # once, and not in each thread
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                ext.extra_objects = list(pool.map(lambda path: self.object_of(path, ext), sources))
            self.force = True  # to link is cheap, and only we know which objects are new
            super().build_extension(ext)
        except (CCompilerError, BaseError):
            if ext.optional:
                print(
                    "toolboxsio: the C extension could not be built (see the compiler's words); "
                    "the package will run as plain python-socketio. A C compiler and the headers "
                    "of Python are needed (Debian: apt-get install gcc python3-dev).",
                    file=sys.stderr,
                )
            raise
        finally:
            ext.sources = sources

    def object_of(self, source, ext):
        # Objects of other flags live elsewhere, so that make debug and make build can alternate.
        kind = "".join(f".{name.lower()}" for name in ("DEBUG", "DEV") if flag(name))
        folder = self.build_temp + kind
        [target] = self.compiler.object_filenames([source], output_dir=folder)
        newest = max(os.stat(path).st_mtime for path in [source, *ext.depends])
        if self.force or not os.path.exists(target) or os.stat(target).st_mtime < newest:
            self.compiler.compile(
                [source],
                output_dir=folder,
                include_dirs=ext.include_dirs,
                extra_postargs=ext.extra_compile_args,
            )
        return target


class BuildLoadgen(Command):
    """The executables of benchmarks/: build/toolboxsio-loadgen and build/toolboxsio-floor."""

    description = "build the load generator of the benchmarks, and their floor"
    user_options = []  # noqa: RUF012 (setuptools takes a list only)

    def initialize_options(self):
        pass

    def finalize_options(self):
        pass

    def run(self):
        for name in ("loadgen", "floor"):
            self.build(name)

    def build(self, name):
        target = HERE / "build" / f"toolboxsio-{name}"
        target.parent.mkdir(exist_ok=True)
        sources = files(f"benchmarks/{name}/*.c")
        compiler = shlex.split(os.environ.get("CC", "cc"))
        args = ["-std=c11", "-O2", *(WARNINGS if flag("DEV") else ["-Wall"])]
        made = target.with_suffix(f".{os.getpid()}")  # another process may be running the old one
        subprocess.run(
            [*compiler, *args, f"-Ibenchmarks/{name}", "-o", str(made), *sources, "-lm"],
            check=True,
            cwd=HERE,
        )
        made.replace(target)


# The one of the two for the version of Python: see csrc/conn/eager.h.
unused = "csrc/conn/eager_py311.c" if sys.version_info >= (3, 12) else "csrc/conn/eager_py312.c"

core = Extension(
    "toolboxsio._core",
    [name for name in files("csrc/**/*.c") if name != unused],
    include_dirs=["csrc"],
    depends=files("csrc/**/*.h"),
    optional=not (flag("REQUIRE_EXT") or flag("DEV") or flag("DEBUG")),
)

# A free-threaded interpreter would turn the GIL on for the whole process.
has_gil = not sysconfig.get_config_var("Py_GIL_DISABLED")
wanted = platform.python_implementation() == "CPython" and has_gil and not flag("PURE")
setup(
    ext_modules=[core] if wanted else [],
    cmdclass={"build_ext": BuildExt, "build_loadgen": BuildLoadgen},
)
