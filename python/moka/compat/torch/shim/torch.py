"""What `import torch` finds in processes of a program that runs under `python -m moka.compat.torch`."""
# SPDX-License-Identifier: Apache-2.0

import importlib
import sys

del sys.modules["torch"]
importlib.import_module("moka.compat.torch")
importlib.import_module("torch")
