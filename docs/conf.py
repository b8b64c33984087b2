"""Sphinx: how the pages of this folder become the documentation site (`make docs`)."""

project = "vpp_streams"
author = "the vpp_streams contributors"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "vpp_streams"
html_show_copyright = False
html_show_sphinx = False
exclude_patterns = ["contracts/*.json", "contracts/*.yaml", "examples/**"]
# The diagrams are text here; a code host draws them.
suppress_warnings = ["misc.highlighting_failure"]
