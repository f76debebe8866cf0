"""Thin adapters to what other people made, each a module by itself: Live Link Face, Ray Serve."""
