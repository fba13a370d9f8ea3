"""The spec of a job: Keras written as YAML. It is read and checked here, without Keras."""

from fornada.spec.datafolder import DataFolder
from fornada.spec.loading import from_document, load, loads
from fornada.spec.monitors import Monitor
from fornada.spec.problems import PathRefused, Problem, SpecProblems
from fornada.spec.spec import (
    Compile,
    Data,
    Fit,
    Resources,
    Retry,
    Role,
    Spec,
)
from fornada.spec.values import KerasObject, Value

__all__ = [
    "Compile",
    "Data",
    "DataFolder",
    "Fit",
    "KerasObject",
    "Monitor",
    "PathRefused",
    "Problem",
    "Resources",
    "Retry",
    "Role",
    "Spec",
    "SpecProblems",
    "Value",
    "from_document",
    "load",
    "loads",
]
