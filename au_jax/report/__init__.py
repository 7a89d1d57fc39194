"""The report of a run: results.json, results.csv and one HTML page."""
