# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: each `bench_<topic>.py` asks one question, and answers it next to the peers.

The rest is shared: `harness` (how it is measured), `workloads` (with what data), `contestants`,
`ours`, `peers` (who takes part), `reopen` (what needs a fresh process), `report` (how it is told).
"""
