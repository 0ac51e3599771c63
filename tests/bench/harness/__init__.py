"""Runs FlyMQ and its peers on the same work in turn and writes the report."""
