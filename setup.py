"""All that setup.cfg cannot say: what a project of `spacy-prokd init` is made from is part of the wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
TEMPLATE = ("project.yml", "configs/teacher.cfg", "configs/student.cfg")


class BuildWithTemplate(build_py):
    """Copies files of the checkout's root into the package; where it is installed in place, they are found there."""

    def run(self) -> None:
        """Build the package and the template in it."""
        super().run()
        if self.editable_mode:
            return
        for name in TEMPLATE:
            path = Path(self.build_lib, "spacy_prokd", "template", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, path)


setup(cmdclass={"build_py": BuildWithTemplate})
