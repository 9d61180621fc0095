"""Tables and figures as functions of stored records alone: no torch, no data sets, nothing is trained or run again."""

from repro.report.build import Report, report

__all__ = ["Report", "report"]
