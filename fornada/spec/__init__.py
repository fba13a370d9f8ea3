"""The spec: Keras spelled in YAML, read and checked without Keras."""

from fornada.spec.loading import load, loads
from fornada.spec.monitors import Monitor
from fornada.spec.problems import PathRefused, Problem, SpecProblems
from fornada.spec.spec import (
    Compile,
    Data,
    Fit,
    Resources,
    Retry,
    Spec,
    ValidationFolder,
)
from fornada.spec.values import KerasObject, Value

__all__ = [
    "Compile",
    "Data",
    "Fit",
    "KerasObject",
    "Monitor",
    "PathRefused",
    "Problem",
    "Resources",
    "Retry",
    "Spec",
    "SpecProblems",
    "ValidationFolder",
    "Value",
    "load",
    "loads",
]
