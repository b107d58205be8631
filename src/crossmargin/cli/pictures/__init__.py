"""Pictures of the HTML report: SVG written by hand, without scripts, fonts or links."""
