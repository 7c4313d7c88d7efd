"""One job from lineart, hints, mask and context to layers: the code path of the command line, the server and the tests.

Frame, run, refine, layers. It reads a model's descriptor and knows no model by name.
"""

from engine.pipeline.drawing import find_drawing
from engine.pipeline.inputs import model_inputs
from engine.pipeline.job import Job, Layers, check_job
from engine.pipeline.pipeline import Look, Pipeline
from engine.pipeline.progress import STAGES, Cancelled, Progress
from engine.protocol.settings import JobSettings

__all__ = [
    "STAGES",
    "Cancelled",
    "Job",
    "JobSettings",
    "Layers",
    "Look",
    "Pipeline",
    "Progress",
    "check_job",
    "find_drawing",
    "model_inputs",
]
