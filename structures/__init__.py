# SPDX-License-Identifier: Apache-2.0
"""Persistent data structures, and the store that opens them by name."""
