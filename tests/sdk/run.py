#!/usr/bin/env python3
"""Runs the SDK tests: `COVE=path/to/cove AWS=path/to/aws AWS2=path/to/aws-v2 run.py [pattern]`."""
import pathlib
import sys
import unittest

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here))
loader = unittest.TestLoader()
if len(sys.argv) > 1:
    loader.testNamePatterns = [f"*{sys.argv[1]}*"]
result = unittest.TextTestRunner(verbosity=2).run(loader.discover(str(here), pattern="test_*.py"))
bad = len(result.failures) + len(result.errors)
print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed, {len(result.skipped)} skipped")
sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
