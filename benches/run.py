#!/usr/bin/env python3
"""Measures builds that people repeat, dfbuild against whichever peers are installed.

    cargo build --release && python3 benches/run.py [--scenario A,D] [--runs 5] [--peers buildah]

Everything is made from a seed in a temporary folder, on tmpfs where there is one: on a disk the
file system's own noise is larger than the differences. Runs of the contenders alternate, so that a
busy machine hurts them alike; medians are printed, and ratios to the slowest row of a scenario are
what to quote. Needs root for buildah, nothing else beyond Python.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SEED = 7
HERE = os.path.dirname(os.path.abspath(__file__))


class Dfbuild:
    name = "dfbuild"

    def __init__(self, work, binary):
        self.binary, self.root = binary, os.path.join(work, "store")

    def build(self, context, *flags):
        argv = [self.binary, "--root", self.root, "-q", "-t", "bench", *self.base(context), *flags, context]
        return run(argv)

    def base(self, context):
        return ["--build-context", "host=/"] if os.path.exists(os.path.join(context, ".uses-host")) else []

    def reset(self):
        shutil.rmtree(self.root, ignore_errors=True)


class Buildah:
    name = "buildah"

    def __init__(self, work, binary):
        self.binary, self.root = binary, os.path.join(work, "buildah")

    def build(self, context, *flags):
        base = ["--build-context", "host=/"] if os.path.exists(os.path.join(context, ".uses-host")) else []
        argv = [self.binary, "--root", self.root, "--runroot", self.root + "-run", "build", "-q", "--layers",
                "-t", "bench", *base, *flags, context]
        return run(argv)

    def reset(self):
        subprocess.run([self.binary, "--root", self.root, "--runroot", self.root + "-run", "rmi", "-af"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.root, ignore_errors=True)


def run(argv):
    """Seconds that a command takes; its failure is ours."""
    start = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        sys.exit("%s failed:\n%s" % (" ".join(argv), done.stdout[-2000:]))
    return time.perf_counter() - start


def small_files(folder, count):
    """A tree of `count` files like an application's: 4.6 kB on average, some of it repeated."""
    random.seed(SEED)
    words = ["".join(random.choices("etaoinshrdlu", k=random.randint(2, 9))) for _ in range(2000)]
    for number in range(count):
        path = os.path.join(folder, "d%02d" % (number % 50), "s%02d" % (number // 50 % 20), "f%d.js" % number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(" ".join(random.choices(words, k=random.randint(10, 1500))))


def write(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="ascii") as f:
        f.write(text)


# A base of the machine's own shell, as in fixtures/hello, so that RUN has something to run.
SHELL_BASE = """FROM scratch AS base
COPY --from=host /bin/sh /bin/true /bin/cat /bin/
COPY --from=host /lib64/ld-linux*.so.[0-9] /lib64/
COPY --from=host /lib/ld-linux*.so.[0-9] /lib/ld-musl-*.so.[0-9] /lib/
COPY --from=host /lib/*-linux-gnu/libc.so.[6] /lib/
FROM base
"""


def context(work, name, dockerfile, files=0):
    folder = os.path.join(work, name)
    write(folder, "Dockerfile", SHELL_BASE + dockerfile)
    write(folder, ".uses-host", "")
    write(folder, ".dockerignore", ".uses-host\nDockerfile\n")
    if files:
        small_files(folder, files)
    return folder


def scenario_a(work, files):
    """no-op rebuild of COPY . . and RUN true"""
    folder = context(work, "a", "COPY . /app\nRUN true\n", files)
    yield folder, lambda tool: tool.build(folder), lambda number: None, ()


def scenario_b(work, files):
    """the same after one file changed"""
    folder = context(work, "b", "COPY . /app\nRUN true\n", files)
    change = lambda number: write(os.path.join(folder, "d01", "s01"), "changed.js", "v%d" % number)
    yield folder, lambda tool: tool.build(folder), change, ()


def scenario_c(work, files):
    """the same from nothing"""
    folder = context(work, "c", "COPY . /app\nRUN true\n", files)
    yield folder, None, lambda number: None, ()


def scenario_d(work, _files):
    """20 x RUN echo, no cache"""
    folder = context(work, "d", "".join("RUN echo %d > /f%d\n" % (n, n) for n in range(20)))
    yield folder, lambda tool: tool.build(folder), lambda number: None, ("--no-cache",)


def scenario_e(work, _files):
    """one RUN, whole process"""
    folder = context(work, "e", "ARG N\nRUN true\n")
    yield folder, lambda tool: tool.build(folder), lambda number: None, ("--build-arg", "N=@")


SCENARIOS = {"A": scenario_a, "B": scenario_b, "C": scenario_c, "D": scenario_d, "E": scenario_e}


def measure(scenario, tools, runs, work, files):
    times = {tool.name: [] for tool in tools}
    for folder, prepare, change, flags in SCENARIOS[scenario](work, files):
        for tool in tools:
            tool.reset()
            if prepare:
                prepare(tool)
        for number in range(runs):
            change(number)
            for tool in tools:
                if not prepare:
                    tool.reset()
                given = [flag.replace("@", str(number)) for flag in flags]
                times[tool.name].append(tool.build(folder, *given))
        shutil.rmtree(folder)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", default=",".join(SCENARIOS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", default="buildah")
    parser.add_argument("--files", type=int, default=50_000, help="files in the contexts of A, B and C")
    parser.add_argument("--binary", default=os.path.join(HERE, "..", "target", "release", "dfbuild"))
    parser.add_argument("--json", help="also write the raw times there")
    args = parser.parse_args()
    tmpfs = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    work = tempfile.mkdtemp(prefix="dfbuild-bench-", dir=tmpfs)
    try:
        tools = [Dfbuild(work, os.path.abspath(args.binary))]
        if "buildah" in args.peers and shutil.which("buildah") and os.geteuid() == 0:
            tools.append(Buildah(work, shutil.which("buildah")))
        results = {}
        print("| scenario | " + " | ".join(tool.name for tool in tools) + " | ratio |")
        print("|---|" + "---|" * (len(tools) + 1))
        for scenario in args.scenario.split(","):
            times = measure(scenario, tools, args.runs, work, args.files)
            results[scenario] = times
            medians = [statistics.median(times[tool.name]) for tool in tools]
            ratio = "%.1f" % (max(medians[1:]) / medians[0]) if len(medians) > 1 else "-"
            title = "%s. %s" % (scenario, SCENARIOS[scenario].__doc__)
            print("| " + " | ".join([title, *("%.3f s" % m for m in medians), ratio]) + " |", flush=True)
        if args.json:
            with open(args.json, "w", encoding="ascii") as f:
                json.dump({"runs": args.runs, "files": args.files, "seconds": results}, f, indent=1)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
