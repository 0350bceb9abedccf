"""Whole programmes as files, and the demo that runs one."""
