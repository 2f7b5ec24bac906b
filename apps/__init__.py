# SPDX-License-Identifier: Apache-2.0
"""Programs on top of spacejmp: the command, and the demo."""
