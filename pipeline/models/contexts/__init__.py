"""Contexts: from vectors of single windows to vectors that know what came before."""
