"""Tests of `chassis.csv_import`."""
