"""The mean-opinion-score study: blinded pictures of several methods, judged by people in a web page."""
