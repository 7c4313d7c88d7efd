"""Documents of every kind are coloured, each in one step, and the colours are those of the strokes."""

import one_step
import steps

KINDS = (("RGBA", "U16", ""), ("RGBA", "F16", ""), ("RGBA", "F32", ""), ("CMYKA", "U8", ""), ("GRAYA", "U8", ""))


def scenario(t):
    t.docker()
    for model, depth, profile in KINDS:
        document = steps.drawing(t, 160, 200, depth, model, profile=profile)
        yield from steps.ready(t)
        t.data[f"{model} {depth}"] = yield from one_step.whole(t, document)
        t.data[f"{model} {depth} is"] = [document.colorModel(), document.colorDepth()]
    for size in ((64, 64), (10, 3000)):
        document = steps.drawing(t, *size)
        yield from one_step.whole(t, document)
