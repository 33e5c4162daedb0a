"""Hostile input: libFuzzer targets, and damaged copies of the demo's files."""
# SPDX-License-Identifier: Apache-2.0
