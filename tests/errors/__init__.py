"""The catalogue of error texts that a user can cause, and what survives full disks and Ctrl-C."""
# SPDX-License-Identifier: Apache-2.0
