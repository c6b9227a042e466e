"""perwatt: throughput per watt of AI-factory hardware, and the decisions that rest on it.

The four packages below this one are folders at the top of the repository, linked in:
``kernels`` (what runs), ``benchmarks`` (how it is measured), ``results`` (what is made of it), ``conf`` (YAML).
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("perwatt")
except PackageNotFoundError:  # imported from a checkout that was never installed
    __version__ = "0+unknown"
