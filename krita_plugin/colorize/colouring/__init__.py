"""From a press of the button, a stroke or a range of frames to results."""
