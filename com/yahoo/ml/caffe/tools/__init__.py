"""The ancestor's names of the tools that make data sets of captions."""
