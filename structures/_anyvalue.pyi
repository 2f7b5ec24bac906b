# SPDX-License-Identifier: Apache-2.0
# Nothing for Python: see _anyvalue.pxd.
