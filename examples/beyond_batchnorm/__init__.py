# SPDX-License-Identifier: BSD-3-Clause
"""Do the normalizers behave as the literature says? ``python -m examples.beyond_batchnorm``.

Networks small enough for NumPy, every normalizer by fastnorm, real images of digits. From the
bottom: `stopwatch`, `network` (layers without a normalizer), `normalizers` (the list of them, by
fastnorm or by its NumPy reference), `nets` (plain and residual networks), `data` and `training`;
`at_start`, `identities` and `along_a_run` measure; `trials` is what is run, `runner` runs it, and
`results` finds what came out. `claims_of_starts`, `claims_of_training` and `claims_of_identities`
judge it (`verdicts` is what a claim is, `claims` the table), `figures` draws it, `costs` is what it
took, `page` puts the tables into docs/study.md, which is the report.
"""
