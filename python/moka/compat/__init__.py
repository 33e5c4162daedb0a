"""Other libraries' names for Moka: `moka.compat.torch` lets programs say `import torch`."""
# SPDX-License-Identifier: Apache-2.0
