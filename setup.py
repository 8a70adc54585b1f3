# SPDX-License-Identifier: BSD-3-Clause
"""The build: Cython modules, and the C kernels once per ISA tier and storage type.

Every rung of src/kernels/isa is compiled with its own flags, once for each storage type, and linked
into fastnorm._core.dispatch, which holds the tables. Environment variables:

FASTNORM_NO_OPENMP=1   build without OpenMP; everything then works on one thread.
FASTNORM_DEBUG=1       debug symbols, no optimization.
FASTNORM_SYMBOLS=1     keep the symbol tables, for profilers.
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from itertools import product
from pathlib import Path

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

ROOT = Path(__file__).parent
INCLUDE = ["src/include", "src/drivers", "src/dispatch", "src/kernels", numpy.get_include()]


def asked(variable):
    """Whether an environment variable is set to something but 0."""
    return os.environ.get(variable, "") not in ("", "0")


DEBUG = asked("FASTNORM_DEBUG")
STRIP = [] if DEBUG or asked("FASTNORM_SYMBOLS") else ["-s"]
# No fused multiply-add and no value-changing liberty: the same bits on every tier.
CFLAGS = ["-std=c11", "-fno-math-errno", "-ffp-contract=off", "-fvisibility=hidden"]
CFLAGS += ["-O0", "-g"] if DEBUG else ["-O3", "-g0"]

V3 = ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt", "-mmovbe", "-mpopcnt"]
V4 = [*V3, "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl"]
# Of two flags -O the later counts: -O3 gains the baseline nothing, and is a sixth of its code.
TIERS = {
    "x86_64": {"baseline": ["-O2"], "v3": V3, "v4": V4},
    "amd64": {"baseline": ["-O2"], "v3": V3, "v4": V4},
    "aarch64": {"neon": []},
    "arm64": {"neon": []},
}.get(platform.machine().lower(), {"baseline": []})

STORED = [path.stem for path in sorted((ROOT / "src/kernels/types").glob("*.h"))]

HEADERS = sorted(glob("src/**/*.h", root_dir=ROOT, recursive=True))
KERNELS = [*HEADERS, "src/kernels/kernels.inc", *sorted(glob("src/kernels/isa/*.c", root_dir=ROOT))]
# What the other rooms see: of the kernels, the list that their table is made of.
TABLES = [path for path in HEADERS if not path.startswith("src/kernels/")]
TABLES += ["src/kernels/kernels.inc"]

DECLARATIONS = sorted(glob("fastnorm/_core/*.pxd", root_dir=ROOT))

# module of fastnorm._core -> its source
MODULES = {
    Path(path).stem: path
    for room in ("plan", "dispatch", "drivers")
    for path in sorted(glob(f"src/{room}/*.pyx", root_dir=ROOT))
}

PROBE = """
#include <omp.h>
int main(void) {
    int n = 0;
    _Pragma("omp parallel reduction(+:n)") n += 1;
    return n < 1 || omp_get_max_threads() < 1;
}
"""


def openmp_flags(compiler):
    """Flags of a compiler that builds and runs an OpenMP program; empty lists where none does."""
    if asked("FASTNORM_NO_OPENMP"):
        return [], []
    candidates = [(["-fopenmp"], ["-fopenmp"])]
    if sys.platform == "darwin":  # Apple's clang needs Homebrew's libomp
        candidates.append((["-Xpreprocessor", "-fopenmp"], ["-lomp"]))
    for cflags, ldflags in candidates:
        with tempfile.TemporaryDirectory() as folder:
            source, program = Path(folder, "probe.c"), Path(folder, "probe")
            source.write_text(PROBE)
            command = [*compiler, *cflags, str(source), "-o", str(program), *ldflags]
            try:
                subprocess.run(command, check=True, capture_output=True)
                subprocess.run([program], check=True, capture_output=True, timeout=30)
            except (OSError, subprocess.SubprocessError):
                continue
            return cflags, ldflags
    print("fastnorm: no OpenMP found; building for one thread", file=sys.stderr)
    return [], []


class BuildTiers(build_ext):
    """build_ext that compiles every rung and hands its object to the dispatch module."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        omp_cflags, omp_ldflags = openmp_flags(self.compiler.compiler)
        for extension in self.extensions:
            extension.extra_compile_args = [*CFLAGS, *omp_cflags]
            extension.extra_link_args = [*STRIP, *omp_ldflags]
            if extension.name.endswith(".dispatch"):
                # No OpenMP: a parallel region would be outlined out of its ISA.
                extension.extra_compile_args = CFLAGS
        # The longest first: the others are compiled beside the kernels.
        self.extensions.sort(key=lambda extension: not extension.name.endswith(".dispatch"))
        super().build_extensions()

    def build_extension(self, extension):
        """Compile a module, unless build/ has it and neither a source nor a flag has changed.

        pip builds in a new folder every time; of two installations of one checkout the second then
        compiles nothing.
        """
        if extension.name.endswith(".dispatch"):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                rungs = product(reversed(TIERS), STORED)  # the longest first
                extension.extra_objects = list(
                    pool.map(lambda rung: self.compile_rung(*rung), rungs)
                )
        built, kept = Path(self.get_ext_fullpath(extension.name)), self.kept(extension)
        made_of = [*extension.sources, *extension.depends, *extension.extra_objects]
        if self.force or newer_group([*made_of, *DECLARATIONS, "setup.py"], kept):
            built.unlink(missing_ok=True)  # setuptools would take it, whatever its flags were
            super().build_extension(extension)
            kept.parent.mkdir(parents=True, exist_ok=True)
            unfinished = kept.with_suffix(".unfinished")
            shutil.copy(built, unfinished)
            unfinished.replace(kept)
        else:
            built.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(kept, built)

    def kept(self, extension):
        """Where a module is kept, by its flags and by what it is made for."""
        flags = (extension.extra_compile_args, extension.extra_link_args)
        versions = (sysconfig.get_config_var("EXT_SUFFIX"), Cython.__version__, numpy.__version__)
        tools = (self.compiler.compiler_so, self.compiler.linker_so)
        key = zlib.crc32(repr((tools, flags, versions)).encode())
        return Path(f"build/modules/{key:08x}", self.get_ext_filename(extension.name))

    def compile_rung(self, tier, stored):
        """Object of one tier and type, in a folder of its own; compiled when a source changed."""
        source, flags = (
            f"src/kernels/isa/{tier}.c",
            [*CFLAGS, *TIERS[tier], f"-DFN_STORED={stored}"],
        )
        # Not below build_temp: pip makes a new one for every build, and the kernels are most of it.
        key = zlib.crc32(repr((self.compiler.compiler_so, flags)).encode())
        folder = f"build/kernels/{tier}-{stored}-{key:08x}"
        [compiled] = self.compiler.object_filenames([source], output_dir=folder)
        if self.force or newer_group([*KERNELS, "setup.py"], compiled):
            self.compiler.compile(
                [source], output_dir=folder, include_dirs=INCLUDE, extra_postargs=flags
            )
        return compiled


def extensions():
    """One extension per room of the core; headers and kernels are what it depends on."""
    for module, source in MODULES.items():
        dispatch = module == "dispatch"
        yield Extension(
            f"fastnorm._core.{module}",
            [source, "src/dispatch/fn_machine.c"] if dispatch else [source],
            include_dirs=INCLUDE,
            depends=KERNELS if dispatch else TABLES,
            libraries=["m"],  # pow, exp2
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        )


setup(
    ext_modules=cythonize(
        list(extensions()),
        include_path=["."],  # the .pxd files live in fastnorm/_core, the .pyx files in src
        nthreads=0 if sys.platform == "darwin" else os.cpu_count(),
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
            "binding": True,
            "freethreading_compatible": True,
        },
        build_dir="build/cython",
    ),
    cmdclass={"build_ext": BuildTiers},
)
