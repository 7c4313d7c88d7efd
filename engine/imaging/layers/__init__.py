"""From regions and what a model sees to the layers of the result: flats and shading at full size."""
