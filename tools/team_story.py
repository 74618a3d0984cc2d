"""Play the story of docs/how-to/a-team-and-an-auditor.md, and write its outputs: ``python tools/team_story.py``.

It needs what ``tox -e hosts`` needs, a package index, git and OpenSSL, and takes some minutes. The page shows the
outputs as they were printed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.plugin.slurm import SlurmCluster  # noqa: E402 - found by the path above
from tests.plugin.trixie import IMAGE, PODMAN, RUN, make_image  # noqa: E402

PROJECT = ROOT / "docs" / "how-to" / "team_story"
OUTPUTS = ROOT / "docs" / "outputs"
#: The line that the team changes, and what it becomes.
CHANGES = {
    f"    {name} = np.quantile(x, {q}, axis=0)": f"    {name} = np.quantile(x.astype(np.float64), {q}, axis=0)"
    for name, q in (("low", "0.01"), ("high", "0.99"))
}


class Story:
    """The machines of a team, in one folder."""

    def __init__(self, folder: Path, cluster: SlurmCluster) -> None:
        self.folder, self.cluster, self.project = folder, cluster, folder / "churn"
        self.image = "localhost/churn-ci:1"

    def call(self, *command: str, where: Path | None = None, allowed: tuple[int, ...] = (0,)) -> str:
        """Run a command and return what it prints."""
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"SLURM_CONF": str(self.cluster.config), "PYTHONHASHSEED": "0"}
        for name in ("PYTEST_ADDOPTS", "FORCE_COLOR", "CI", "GITHUB_ACTIONS", "VIRTUAL_ENV"):
            environment.pop(name, None)
        done = subprocess.run(
            command, cwd=where or self.project, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in allowed:
            raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def show(self, name: str, *command: str, where: Path | None = None, allowed: tuple[int, ...] = (0,)) -> None:
        """Run a command, and keep what it prints without the paths of this machine."""
        text = self.call(*command, where=where, allowed=allowed).replace(str(self.folder), "/srv/team")
        (OUTPUTS / f"team-{name}.txt").write_text(text.strip() + "\n", encoding="utf-8")

    def program(self, machine: str, name: str) -> str:
        """Return the path of a program in the virtual environment of a machine."""
        return str(self.folder / machine / "bin" / name)

    def prepare(self) -> None:
        """Make the machines and the repository."""
        self.call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "wheel", str(ROOT), where=self.folder)
        wheel = str(next((self.folder / "wheel").glob("*.whl")))
        signing = ["cryptography", "securesystemslib"]
        for machine, packages in {
            "laptop": ["numpy==2.2.6", "pytest==9.0.2", "threadpoolctl", *signing],
            "cluster": ["numpy==2.4.6", "pytest==9.0.2", "threadpoolctl"],
            "auditor": ["numpy", "pytest", *signing],
        }.items():
            self.call(sys.executable, "-m", "venv", machine, where=self.folder)
            self.call(
                self.program(machine, "python"), "-m", "pip", "install", "-q", wheel, *packages, where=self.folder
            )
        self._make_image(wheel)
        shutil.copytree(PROJECT, self.project, ignore=shutil.ignore_patterns("__pycache__"))
        self.call(self.program("laptop", "python"), "make_customers.py")
        (self.project / ".gitignore").write_text("__pycache__/\nout/\nout-fixed/\n", encoding="utf-8")
        self.call("git", "init", "-q", "-b", "main")
        self.commit("Model of customers who leave")

    def _make_image(self, wheel: str) -> None:
        make_image()
        target = self.folder / "image" / "packages"
        options = ["--python-version", "3.13", "--only-binary=:all:", "--no-deps", "--target", str(target)]
        self.call(sys.executable, "-m", "pip", "install", "-q", *options, wheel, "threadpoolctl", where=self.folder)
        lines = [f"FROM {IMAGE}", "COPY packages /usr/local/lib/python3.13/dist-packages", ""]
        (target.parent / "Containerfile").write_text("\n".join(lines), encoding="utf-8")
        self.call(*PODMAN, "build", "-q", "--isolation=chroot", "-t", self.image, ".", where=target.parent)

    def commit(self, message: str) -> None:
        """Commit everything."""
        identity = ["-c", "user.name=team", "-c", "user.email=team@example.org"]
        self.call("git", "add", "-A")
        self.call("git", *identity, "commit", "-q", "-m", message)

    def collect(self, folder: str) -> None:
        """Collect the results on each machine."""
        failing = (0, 1)
        self.call(self.program("laptop", "pytest"), f"--repro-collect={folder}/laptop", allowed=failing)
        within = [*RUN[:-1], "-v", f"{self.project}:{self.project}", "-w", str(self.project), self.image]
        pytest = ["python3", "-m", "pytest", "-p", "no:cacheprovider"]
        self.call(*within, *pytest, f"--repro-collect={folder}/ci", allowed=failing)
        self.call(
            "srun", "-n1", self.program("cluster", "pytest"), f"--repro-collect={folder}/cluster", allowed=failing
        )

    def merge(self, name: str, folder: str) -> None:
        """Compare what was collected."""
        folders = [f"{folder}/{machine}" for machine in ("laptop", "ci", "cluster")]
        self.show(name, self.program("laptop", "pytest-repro"), "merge", *folders, allowed=(0, 1))

    def play(self) -> None:
        """Do what the team does, then what the auditor does."""
        command, pytest = self.program("laptop", "pytest-repro"), self.program("laptop", "pytest")
        self.collect("out")
        self.merge("merge", "out")
        self.show("confirm", pytest, "--no-header", "--repro-across=python=numpy==2.4.6", allowed=(1,))
        self.show(
            "bisect", command, "bisect", "tests/test_churn.py::test_model", "--package=numpy", "--good=2.2.6",
            "--bad=2.4.6", "--no-diagnose", allowed=(1,),
        )  # fmt: skip
        model = self.project / "churn" / "model.py"
        text = model.read_text(encoding="utf-8")
        for old, new in CHANGES.items():
            assert old in text
            text = text.replace(old, new)
        model.write_text(text, encoding="utf-8")
        self.commit("Clip at quantiles of float64, which no release of NumPy rounds differently")
        self.collect("out-fixed")
        self.merge("merge-fixed", "out-fixed")
        bundle, key = str(self.folder / "decision"), str(self.folder / "team.pem")
        public = str(self.folder / "team.pub.pem")
        self.call("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
        self.call("openssl", "pkey", "-in", key, "-pubout", "-out", public)
        records = str(self.folder / "decision-records")
        self.show("evidence", pytest, "--no-header", f"--repro-record={records}", f"--repro-evidence={bundle}")
        self.show("sign", command, "sign", bundle, f"--key={key}")
        self.commit_later()
        auditor = self.program("auditor", "pytest-repro")
        self.show("verify", auditor, "verify", "decision", f"--key={public}", where=self.folder)
        self.show(
            "reproduce", auditor, "reproduce", "decision", "--repo=churn", f"--key={public}", where=self.folder
        )  # fmt: skip

    def commit_later(self) -> None:
        """Go on with the project, as a year passes."""
        model = self.project / "churn" / "model.py"
        model.write_text(model.read_text(encoding="utf-8").replace("steps=100", "steps=400"), encoding="utf-8")
        self.commit("Train longer")


def main() -> int:
    """Play the story in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="team-") as folder, SlurmCluster() as cluster:
        story = Story(Path(folder), cluster)
        story.prepare()
        story.play()
    return 0


if __name__ == "__main__":
    sys.exit(main())
