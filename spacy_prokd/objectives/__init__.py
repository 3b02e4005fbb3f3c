"""Which loss falls on which words. The paper's ablations are settings."""

from .base import Batch, Objective, Pass, Progress
from .student import Student, make_student
from .teacher import Teacher, make_teacher

__all__ = ["Batch", "Objective", "Pass", "Progress", "Student", "Teacher", "make_student", "make_teacher"]
