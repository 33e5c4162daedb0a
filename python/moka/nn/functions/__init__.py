"""The functions of moka.nn.functional, by family."""
# SPDX-License-Identifier: Apache-2.0
