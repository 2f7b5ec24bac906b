# SPDX-License-Identifier: Apache-2.0
"""Bytes that survive: media layout, log and transactions, heap, persistence domains, recovery."""
