"""The report as a folder of pages for people: no network, nothing to install, everything untrusted escaped."""

from repro.report.html.site import Entry, Site, write_site

__all__ = ["Entry", "Site", "write_site"]
