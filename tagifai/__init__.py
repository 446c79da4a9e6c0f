"""Classifies texts: the columns of an application in, its labels out."""
