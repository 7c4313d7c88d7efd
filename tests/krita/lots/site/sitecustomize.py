"""Test only: in the engine's device process the model `lots` draws lots: its seed chooses the hue nobody hinted."""

import sys
from dataclasses import replace

if "engine.worker" in sys.orig_argv:
    from engine.runtime import yield_cores

    yield_cores()  # before torch, as the device process does
    import numpy as np

    from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
    from engine.models import checkpoint
    from engine.pipeline import Pipeline

    describe, predict = checkpoint.describe, Pipeline.predict
    GOLDEN = 2.4  # radians between two seeds, so that any few of them differ well

    def describe_lots(path):
        found = describe(path)
        return replace(found, name="lots", stochastic=True, steps=8) if path.stem == "lots" else found

    def predict_lots(self, job, frame):
        change, sight, paper = predict(self, job, frame)
        if not self.model.descriptor.stochastic:
            return change, sight, paper
        lab = srgb_to_oklab(sight.guess)
        # Somewhat stronger than the model dares to be: nobody could tell two greys apart.
        a, b = 1.5 * lab[..., 1] + 0.06, 1.5 * lab[..., 2]
        cos, sin = np.cos(GOLDEN * job.seed), np.sin(GOLDEN * job.seed)
        turned = np.stack([lab[..., 0], a * cos - b * sin, a * sin + b * cos], axis=-1).astype(np.float32)
        return change, replace(sight, guess=oklab_to_srgb(turned)), paper

    checkpoint.describe, Pipeline.predict = describe_lots, predict_lots
