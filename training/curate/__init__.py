"""From folders of pictures to a training set: ``training curate``."""
